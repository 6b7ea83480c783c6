import { saveAndFinish } from '../save-and-finish.ts'
import { accessors, type Attached } from './accessors.ts'
import { isDelegate, type AnyClient, type Delegate, type TransactionOptions } from './client.ts'
import { isLazy, noBatch } from './lazily.ts'
import { savingOf } from './saving.ts'
import { belongsTo, opening, type Open } from './transactions.ts'

const extended = new WeakMap<object, readonly Attached[]>()

/** The models with attachments of a client that `withAttachments` extended. */
export const extendedOf = (client: object): readonly Attached[] | undefined => extended.get(client)

type Run<T> = (tx: AnyClient) => Promise<T>

/** A client, or one of its transactions, as the app has it: what is written through it brings files along. */
export interface Bringing {
  /** Prisma's own. */
  readonly client: AnyClient
  /** What the app has. */
  readonly proxy: AnyClient
  readonly models: readonly Attached[]
  /** undefined: of the client itself. */
  readonly open: Open | undefined
  /** In the transaction that is open, else in one of its own. */
  within<T>(run: (on: InTransaction) => Promise<T>): Promise<T>
}
export type InTransaction = Bringing & { readonly open: Open }

/** Over a client of Prisma's; over one of its transactions, `open`. */
export function bringing(client: AnyClient, models: readonly Attached[], open?: Open): Bringing {
  const delegates = new WeakMap<object, object>()
  const overriding: Record<string, unknown> = {
    $transaction: (given: Run<unknown> | readonly unknown[], options?: TransactionOptions) =>
      typeof given === 'function'
        ? transaction(self, (on) => given(on.proxy), options)
        : batch(client, given, options),
    ...(open === undefined
      ? { $extends: (extension: unknown) => bringing(client.$extends(extension), models).proxy }
      : {}),
  }
  const proxy = new Proxy(client, {
    get(_client, key) {
      if (typeof key === 'string' && Object.hasOwn(overriding, key)) return overriding[key]
      const value: unknown = Reflect.get(client, key)
      if (!isDelegate(value)) return value
      const made = delegates.get(value) ?? delegate(self, value)
      delegates.set(value, made)
      return made
    },
  })
  const self: Bringing = {
    client,
    proxy,
    models,
    open,
    within: (run) =>
      open !== undefined
        ? run({ ...self, open })
        : saveAndFinish((begun) =>
            transaction(self, (on) => {
              begun(on.open)
              return run(on)
            }),
          ),
  }
  extended.set(proxy, models)
  if (open !== undefined) belongsTo(proxy, open)
  return self
}

function delegate(on: Bringing, own: Delegate): object {
  const saving = savingOf(on, own)
  return new Proxy(own, {
    get(_own, key) {
      if (key === '$parent') return on.proxy
      const verb = typeof key === 'string' ? saving[key] : undefined
      return verb ?? (Reflect.get(own, key) as unknown)
    },
  })
}

/** One in another is a savepoint. */
function transaction<T>(
  { client, models, open }: Bringing,
  run: (on: InTransaction) => Promise<T>,
  options?: TransactionOptions,
): Promise<T> {
  const over = (tx: AnyClient, of: Open): Promise<T> => {
    const on = bringing(tx, models, of)
    of.tx ??= on.proxy
    return run({ ...on, open: of })
  }
  if (open !== undefined) return client.$transaction((tx) => over(tx, open), options)
  // Records know by their extension which transaction they were loaded in.
  return opening(client, (of) =>
    client.$extends(accessors(models, of)).$transaction((tx) => over(tx, of), options),
  )
}

/** Prisma's own, of its own promises. */
async function batch(
  client: AnyClient,
  given: readonly unknown[],
  options?: TransactionOptions,
): Promise<unknown> {
  if (Array.isArray(given) && given.some(isLazy)) throw noBatch()
  return client.$transaction(given as never, options)
}
