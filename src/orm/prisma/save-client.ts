import { saveAndWait } from '../save-and-wait.ts'
import { bindModels, type PrismaModel } from './bind.ts'
import { isDelegate, type AnyClient, type Delegate, type TransactionOptions } from './client.ts'
import { batchError, isLazyPromise } from './lazy-promise.ts'
import { createAccessors } from './records.ts'
import { createWriteOperations } from './save-delegate.ts'
import type { ClientInTransaction, ClientWithFiles } from './save.ts'
import { rememberTransaction, runInTransaction, type PrismaTransaction } from './transactions.ts'

type TransactionCallback = (tx: AnyClient) => Promise<unknown>

/** Makes the proxy of a client that the app writes through. `open`: of one of its transactions. */
export function createClientProxy(
  client: AnyClient,
  models: readonly PrismaModel[],
  open?: PrismaTransaction,
): ClientWithFiles {
  const delegates = new WeakMap<object, object>()
  const overrides: Record<string, unknown> = {
    $transaction: (
      given: TransactionCallback | readonly unknown[],
      options?: TransactionOptions,
    ) =>
      typeof given === 'function'
        ? runTransaction(self, (on) => given(on.proxy), options)
        : runBatch(client, given, options),
    ...(open === undefined && {
      $extends: (extension: unknown) => createClientProxy(client.$extends(extension), models).proxy,
    }),
  }
  const proxy = new Proxy(client, {
    get(_client, key): unknown {
      if (typeof key === 'string' && Object.hasOwn(overrides, key)) return overrides[key]
      const value: unknown = Reflect.get(client, key)
      if (!isDelegate(value)) return value
      const delegate = delegates.get(value) ?? createDelegateProxy(self, value)
      delegates.set(value, delegate)
      return delegate
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
        : saveAndWait((onBegin) =>
            runTransaction(self, (on) => {
              onBegin(on.open)
              return run(on)
            }),
          ),
  }
  bindModels(proxy, models)
  if (open !== undefined) rememberTransaction(proxy, open)
  return self
}

function createDelegateProxy(on: ClientWithFiles, delegate: Delegate): object {
  const operations = createWriteOperations(on, delegate)
  return new Proxy(delegate, {
    get(_delegate, key): unknown {
      if (key === '$parent') return on.proxy
      const operation = typeof key === 'string' ? operations[key] : undefined
      return operation ?? Reflect.get(delegate, key)
    },
  })
}

/**
 * Runs a transaction of the app or of the library. A transaction inside another one is a savepoint.
 */
function runTransaction<T>(
  { client, models, open }: ClientWithFiles,
  run: (on: ClientInTransaction) => Promise<T>,
  options?: TransactionOptions,
): Promise<T> {
  const runOn = (tx: AnyClient, transaction: PrismaTransaction): Promise<T> => {
    const on = createClientProxy(tx, models, transaction)
    transaction.tx ??= on.proxy
    return run({ ...on, open: transaction })
  }
  if (open !== undefined) return client.$transaction((tx) => runOn(tx, open), options)
  // The extension of its own lets records know the transaction that they were loaded in.
  return runInTransaction(client, (transaction) =>
    client
      .$extends(createAccessors(models, transaction))
      .$transaction((tx) => runOn(tx, transaction), options),
  )
}

/** Passes `$transaction([…])` to Prisma. A batch with one of our promises is refused. */
async function runBatch(
  client: AnyClient,
  operations: readonly unknown[],
  options?: TransactionOptions,
): Promise<unknown> {
  if (Array.isArray(operations) && operations.some(isLazyPromise)) throw batchError()
  return client.$transaction(operations, options)
}
