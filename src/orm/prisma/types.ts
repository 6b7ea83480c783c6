import type { Types } from '@prisma/client/runtime/client'
import type { ManyInput, OneInput } from '../../attached/attachable.ts'
import type { AnyAttachments } from '../../attached/definitions.ts'
import type { Slots } from '../../attached/record.ts'
import type { DelayedUpload } from '../../attached/values.ts'

type Input<D> = D extends { readonly kind: 'one' } ? OneInput : ManyInput

/** What `data` takes beside the model's own fields: `photoTmp` is attached in the background, `photo` as a direct attach. */
export type FilesOf<D> = { [K in keyof D & string as `${K}Tmp`]?: Input<D[K]> | undefined } & {
  [K in keyof D & string]?: Input<D[K]> | undefined
}

type Operation = 'create' | 'update' | 'upsert'
type Data<O extends Operation> = O extends 'upsert' ? 'create' | 'update' : 'data'
type ArgsOf<T, O extends Operation> = Types.Public.Args<T, O>
/** Of an operation, with files. */
type Bringing<T, O extends Operation, D> = Omit<ArgsOf<T, O>, Data<O>> & {
  [K in Data<O>]: ArgsOf<T, O>[K] & FilesOf<D>
}

type Bring<O extends Operation, D> = <T, A>(
  this: T,
  args: Types.Public.Exact<A, Bringing<T, O, D>>,
) => Types.Public.PrismaPromise<Types.Public.Result<T, A, O>>

type Verbs<D> = { [O in Operation]: () => Bring<O, D> }

interface Computed<V> {
  readonly needs: {}
  readonly compute: (record: unknown) => V
}
type Fields<D> = { [K in keyof D]: () => Computed<Slots<D>[K & keyof Slots<D>]> } & {
  [K in keyof D & string as `${K}DelayedUploads`]: () => Computed<() => Promise<DelayedUpload[]>>
}

/** What `withAttachments` returns, for `$extends`. */
export type PrismaAttachments<M extends Readonly<Record<string, AnyAttachments>>> = (
  client: unknown,
) => {
  $extends: {
    extArgs: {
      result: { [N in keyof M & string as Uncapitalize<N>]: Fields<M[N]> }
      model: { [N in keyof M & string as Uncapitalize<N>]: Verbs<M[N]> }
      query: {}
      client: {}
    }
  }
}
