import type { Opt } from '@mikro-orm/core'
import type { AnyAttachments } from '../../attached/definitions.ts'
import type { FilesByName } from '../../attached/record.ts'
import { mixInAttachments, type Constructor, type WithAttachments } from '../with-attachments.ts'
import { idOf, transactionOf } from './records.ts'
import { patchManager } from './save-manager.ts'

/** What MikroORM's own `IType` says of a property: what it is given for it. */
interface AcceptedInput<T> {
  readonly __runtime?: T
  readonly __raw?: T
}

/** What `withAttachments` gives entities; none of it is asked for by `em.create`, which takes a file for each attachment. */
export type Attached<D> = { [K in keyof WithAttachments<D>]: WithAttachments<D>[K] & Opt.Brand } & {
  readonly [K in keyof D]: AcceptedInput<NonNullable<FilesByName<D>[K]> | null>
} & WithAttachments<D>

/**
 * A base class for entities: `user.photoTmp = file` is attached in the background when the entity is flushed, `user.photo` is
 * what is attached. Pass the same object to createActiveStorage. Do not declare fields of these names.
 *
 * @example
 * const { withAttachments } = await import('activestorage-delayed/mikro-orm')
 * class User extends withAttachments(userAttachments) {
 *   id!: string
 *   name!: string
 * }
 */
export function withAttachments<D extends AnyAttachments>(attachments: D): Constructor<Attached<D>>
/** Over a base of the app's own, such as BaseEntity. */
export function withAttachments<D extends AnyAttachments, B extends Constructor>(
  attachments: D,
  base: B,
): B & Constructor<Attached<D>>
export function withAttachments<D extends AnyAttachments>(
  attachments: D,
  base: Constructor = class {},
): Constructor<Attached<D>> {
  patchManager()
  return mixInAttachments(attachments, base, { idOf, transactionOf }) as unknown as Constructor<
    Attached<D>
  >
}
