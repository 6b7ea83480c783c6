import { EntitySchema } from 'typeorm'
import { hasManyAttached, hasOneAttached } from 'activestorage-delayed'
import { withAttachments } from 'activestorage-delayed/typeorm'

export const userAttachments = {
  photo: hasOneAttached({ accept: ['image/*'], maxSize: '20 MB' }),
  certificates: hasManyAttached({ maxFiles: 30, maxSize: '2 GB' }),
}

export class User extends withAttachments(userAttachments) {
  id!: number
  name!: string
}

// Node runs TypeScript as it is, but knows no decorators. Where yours are compiled, `@Entity()` and `@Column()` do as well.
export const userSchema = new EntitySchema<User>({
  name: 'User',
  target: User,
  tableName: 'users',
  columns: {
    id: { type: 'integer', primary: true, generated: 'increment' },
    name: { type: 'text' },
  },
})
