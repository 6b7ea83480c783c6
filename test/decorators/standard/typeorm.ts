// TypeORM's own decorators are legacy ones: with standard ones, its entities are told by schemas.
import { BaseEntity, EntitySchema } from 'typeorm'
import { hasManyAttached, hasOneAttached } from 'activestorage-delayed'
import { HasAttachments, type WithAttachments } from 'activestorage-delayed/typeorm'

export const userAttachments = {
  photo: hasOneAttached({ required: true }),
  certificates: hasManyAttached(),
}

export interface User extends WithAttachments<typeof userAttachments> {}
@HasAttachments(userAttachments)
export class User extends BaseEntity {
  id!: number
  name!: string
}
export const schema = new EntitySchema<User>({
  name: 'User',
  target: User,
  tableName: 'users',
  columns: {
    id: { type: 'integer', primary: true, generated: 'increment' },
    name: { type: 'text' },
  },
})

const photo = { photo: hasOneAttached() }
/** Throws: an auto-accessor stands before the attachment's. */
export function accessor(): unknown {
  interface Shadowed extends Pick<
    WithAttachments<typeof photo>,
    'photoDelayedUploads' | 'photoTmp'
  > {}
  @HasAttachments(photo)
  class Shadowed {
    accessor photo!: WithAttachments<typeof photo>['photo']
  }
  return Shadowed
}

// @ts-expect-error it has no interface that says what it has
@HasAttachments(photo)
export class Untyped {
  id!: number
}
