import type { Types } from '@prisma/client/runtime/client'
import type { ManyInput, OneInput } from '../../attached/attachable.ts'
import type { AnyAttachments } from '../../attached/definitions.ts'
import type { AttachedByName } from '../../attached/record.ts'
import type { DelayedUpload } from '../../attached/values.ts'

type InputOf<D> = D extends { readonly kind: 'one' } ? OneInput : ManyInput

/**
 * Files that `data` takes beside the fields of a model: `photoTmp` is attached in the background,
 * `photo` directly.
 */
export type FilesOf<D> = { [K in keyof D & string as `${K}Tmp`]?: InputOf<D[K]> | undefined } & {
  [K in keyof D & string]?: InputOf<D[K]> | undefined
}

type WriteName = 'create' | 'update' | 'upsert'
type DataKey<O extends WriteName> = O extends 'upsert' ? 'create' | 'update' : 'data'
type ArgsOf<T, O extends WriteName> = Types.Public.Args<T, O>
/** The arguments of an operation, with files in its data. */
type ArgsWithFiles<T, O extends WriteName, D> = Omit<ArgsOf<T, O>, DataKey<O>> & {
  [K in DataKey<O>]: ArgsOf<T, O>[K] & FilesOf<D>
}

type OperationWithFiles<O extends WriteName, D> = <T, A>(
  this: T,
  args: Types.Public.Exact<A, ArgsWithFiles<T, O, D>>,
) => Types.Public.PrismaPromise<Types.Public.Result<T, A, O>>

type OperationsWithFiles<D> = { [O in WriteName]: () => OperationWithFiles<O, D> }

interface ComputedField<V> {
  readonly needs: {}
  readonly compute: (record: unknown) => V
}
type ComputedFields<D> = {
  [K in keyof D]: () => ComputedField<AttachedByName<D>[K & keyof AttachedByName<D>]>
} & {
  [K in keyof D & string as `${K}DelayedUploads`]: () => ComputedField<
    () => Promise<DelayedUpload[]>
  >
}

/** The extension that `withAttachments` returns, for `$extends`. */
export type PrismaAttachments<M extends Readonly<Record<string, AnyAttachments>>> = (
  client: unknown,
) => {
  $extends: {
    extArgs: {
      result: { [N in keyof M & string as Uncapitalize<N>]: ComputedFields<M[N]> }
      model: { [N in keyof M & string as Uncapitalize<N>]: OperationsWithFiles<M[N]> }
      query: {}
      client: {}
    }
  }
}
