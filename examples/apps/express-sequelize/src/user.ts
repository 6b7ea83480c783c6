import {
  DataTypes,
  Model,
  type CreationOptional,
  type InferAttributes,
  type InferCreationAttributes,
} from 'sequelize'
import { hasManyAttached, hasOneAttached } from 'activestorage-delayed'
import { withAttachments } from 'activestorage-delayed/sequelize'
import { database } from './database.ts'

export const userAttachments = {
  photo: hasOneAttached({ accept: ['image/*'], maxSize: '20 MB' }),
  certificates: hasManyAttached({ maxFiles: 30, maxSize: '2 GB' }),
}

export class User extends withAttachments(userAttachments, Model)<
  InferAttributes<User>,
  InferCreationAttributes<User>
> {
  declare id: CreationOptional<string>
  declare name: string
}

User.init(
  {
    id: { type: DataTypes.BIGINT, primaryKey: true, autoIncrement: true },
    name: {
      type: DataTypes.TEXT,
      allowNull: false,
      validate: { notEmpty: { msg: 'A user needs a name.' } },
    },
  },
  { sequelize: database, tableName: 'users' },
)
