import { saveAndFinish } from '../save-and-finish.ts'
import { createAccessors, type ModelWithAttachments } from './accessors.ts'
import { isDelegate, type AnyClient, type Delegate, type TransactionOptions } from './client.ts'
import { isLazyPromise, batchError } from './lazy-promise.ts'
import { createWriteOperations } from './save-delegate.ts'
import { rememberTransaction, runInTransaction, type PrismaTransaction } from './transactions.ts'

const modelsByClient = new WeakMap<object, readonly ModelWithAttachments[]>()

/** The models with attachments of a client that `withAttachments` extended. */
export const modelsOf = (client: object): readonly ModelWithAttachments[] | undefined =>
  modelsByClient.get(client)

type TransactionCallback<T> = (tx: AnyClient) => Promise<T>

/** A client, or one of its transactions, as the app has it: what is written through it brings files along. */
export interface ClientWithFiles {
  /** Prisma's own. */
  readonly client: AnyClient
  /** What the app has. */
  readonly proxy: AnyClient
  readonly models: readonly ModelWithAttachments[]
  /** undefined: of the client itself. */
  readonly open: PrismaTransaction | undefined
  /** In the transaction that is open, else in one of its own. */
  within<T>(run: (on: ClientInTransaction) => Promise<T>): Promise<T>
}
export type ClientInTransaction = ClientWithFiles & { readonly open: PrismaTransaction }

/** Over a client of Prisma's; over one of its transactions, `open`. */
export function createClientProxy(
  client: AnyClient,
  models: readonly ModelWithAttachments[],
  open?: PrismaTransaction,
): ClientWithFiles {
  const delegates = new WeakMap<object, object>()
  const overriding: Record<string, unknown> = {
    $transaction: (
      given: TransactionCallback<unknown> | readonly unknown[],
      options?: TransactionOptions,
    ) =>
      typeof given === 'function'
        ? runTransaction(self, (on) => given(on.proxy), options)
        : runBatch(client, given, options),
    ...(open === undefined
      ? {
          $extends: (extension: unknown) =>
            createClientProxy(client.$extends(extension), models).proxy,
        }
      : {}),
  }
  const proxy = new Proxy(client, {
    get(_client, key) {
      if (typeof key === 'string' && Object.hasOwn(overriding, key)) return overriding[key]
      const value: unknown = Reflect.get(client, key)
      if (!isDelegate(value)) return value
      const made = delegates.get(value) ?? createDelegateProxy(self, value)
      delegates.set(value, made)
      return made
    },
  })
  const self: ClientWithFiles = {
    client,
    proxy,
    models,
    open,
    within: (run) =>
      open !== undefined
        ? run({ ...self, open })
        : saveAndFinish((begun) =>
            runTransaction(self, (on) => {
              begun(on.open)
              return run(on)
            }),
          ),
  }
  modelsByClient.set(proxy, models)
  if (open !== undefined) rememberTransaction(proxy, open)
  return self
}

function createDelegateProxy(on: ClientWithFiles, own: Delegate): object {
  const saving = createWriteOperations(on, own)
  return new Proxy(own, {
    get(_own, key) {
      if (key === '$parent') return on.proxy
      const verb = typeof key === 'string' ? saving[key] : undefined
      return verb ?? (Reflect.get(own, key) as unknown)
    },
  })
}

/** One in another is a savepoint. */
function runTransaction<T>(
  { client, models, open }: ClientWithFiles,
  run: (on: ClientInTransaction) => Promise<T>,
  options?: TransactionOptions,
): Promise<T> {
  const over = (tx: AnyClient, of: PrismaTransaction): Promise<T> => {
    const on = createClientProxy(tx, models, of)
    of.tx ??= on.proxy
    return run({ ...on, open: of })
  }
  if (open !== undefined) return client.$transaction((tx) => over(tx, open), options)
  // Records know by their extension which transaction they were loaded in.
  return runInTransaction(client, (of) =>
    client.$extends(createAccessors(models, of)).$transaction((tx) => over(tx, of), options),
  )
}

/** Prisma's own, of its own promises. */
async function runBatch(
  client: AnyClient,
  given: readonly unknown[],
  options?: TransactionOptions,
): Promise<unknown> {
  if (Array.isArray(given) && given.some(isLazyPromise)) throw batchError()
  return client.$transaction(given as never, options)
}
