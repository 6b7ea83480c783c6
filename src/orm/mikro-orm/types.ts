import type { Opt } from '@mikro-orm/core'
import type { FilesByName } from '../../attached/record.ts'
import type { WithAttachments as SharedWithAttachments } from '../with-attachments.ts'

/** The marks by which MikroORM's `IType` types the value that a property is given. */
interface AcceptedInput<T> {
  readonly __runtime?: T
  readonly __raw?: T
}

/**
 * Members that `withAttachments` adds to entities. `em.create` asks for none of them, and takes a
 * file for each attachment.
 */
export type WithAttachments<D> = {
  [K in keyof SharedWithAttachments<D>]: SharedWithAttachments<D>[K] & Opt.Brand
} & {
  readonly [K in keyof D]: AcceptedInput<NonNullable<FilesByName<D>[K]> | null>
} & SharedWithAttachments<D>
