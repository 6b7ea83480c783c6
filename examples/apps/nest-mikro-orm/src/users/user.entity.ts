import { Entity, PrimaryKey, Property } from '@mikro-orm/decorators/legacy'
import { hasManyAttached, hasOneAttached } from 'activestorage-delayed'
import { withAttachments } from 'activestorage-delayed/mikro-orm'

export const userAttachments = {
  photo: hasOneAttached({ accept: ['image/*'], maxSize: '20 MB' }),
  certificates: hasManyAttached({ maxFiles: 30, maxSize: '2 GB' }),
}

@Entity({ tableName: 'users' })
export class User extends withAttachments(userAttachments) {
  @PrimaryKey()
  id!: number

  @Property()
  name!: string
}
