import type { RecordSource } from '../../database/database.ts'
import { InvalidInputError } from '../../errors/errors.ts'
import { requireModel } from '../model-registry.ts'
import { hasMethod, isObject } from '../object-guards.ts'
import { toRecordId, type RecordId } from '../record-id.ts'
import { modelsOf, type PrismaModel } from './bind.ts'
import { isDelegate, requireOperation, propertyOf, type AnyClient } from './client.ts'
import type { PrismaTransaction } from './transactions.ts'

type PrismaRow = Readonly<Record<string, unknown>>

/**
 * Creates the extension that gives records `photo` and `photoDelayedUploads()`. They act in the
 * transaction that the record was loaded in while that is open, later outside of it.
 */
export function createAccessors(models: readonly PrismaModel[], open?: PrismaTransaction): object {
  return {
    name: 'activestorage-delayed',
    result: Object.fromEntries(
      models.map((each) => [propertyOf(each.model), computedFieldsOf(each, open)]),
    ),
  }
}

function computedFieldsOf(
  { definitions, names, id, model }: PrismaModel,
  open: PrismaTransaction | undefined,
): object {
  const needs = { [id]: true }
  const readAttached = (row: PrismaRow, name: string): object => {
    const key = toRecordId(row[id])
    if (key === null)
      throw new InvalidInputError(`This ${model} has no '${id}', so its ${name} cannot be found.`)
    const transaction = open?.level.isActive === true ? open.tx : undefined
    const attached: unknown = Reflect.get(requireModel(definitions).record(key, transaction), name)
    return isObject(attached) ? attached : {}
  }
  const readDelayedUploads = (row: PrismaRow, name: string): unknown => {
    const attached = readAttached(row, name)
    return hasMethod(attached, 'delayedUploads') ? attached.delayedUploads() : undefined
  }
  return Object.fromEntries(
    names.flatMap((name) => [
      [
        name,
        { needs, compute: (row: PrismaRow) => createLazyHandle(() => readAttached(row, name)) },
      ],
      [
        `${name}DelayedUploads`,
        { needs, compute: (row: PrismaRow) => () => readDelayedUploads(row, name) },
      ],
    ]),
  )
}

/**
 * Creates a handle that is found when it is first used, because Prisma computes the field also for
 * code that only prints or copies a record. The JSON of a record has its columns only.
 */
const createLazyHandle = (find: () => object): object =>
  new Proxy(
    {},
    {
      get(_empty, key): unknown {
        if (key === 'toJSON') return () => undefined
        if (typeof key === 'symbol' || key === 'then') return undefined
        return Reflect.get(find(), key)
      },
    },
  )

type RunOnClient = <T>(run: (client: AnyClient) => Promise<T>) => Promise<T>

/**
 * Finds the records of the model that has these attachments. null: the client has no such model.
 */
export function createRecordSource(
  client: AnyClient,
  attachments: object,
  within: RunOnClient,
): RecordSource | null {
  const found = modelsOf(client)?.find(({ definitions }) => definitions === attachments)
  if (found === undefined) return null
  const { model, id: key } = found
  const delegate = client[propertyOf(model)]
  const fields = isDelegate(delegate) ? delegate.fields : {}
  const toKey = (id: string): RecordId => {
    const type = fields[key]?.typeName
    return type === 'BigInt' ? BigInt(id) : type === 'Int' ? Number(id) : id
  }
  const isDated = Object.values(fields).some((field) => field?.typeName === 'DateTime')
  return {
    find: (id) =>
      within((on) => requireOperation(on, model, 'findUnique')({ where: { [key]: toKey(id) } })),
    hasMethod: () => false,
    // Prisma does not say which field is @updatedAt. It sets it whenever another field is written.
    async touch(id) {
      const own = { [key]: toKey(id) }
      if (isDated)
        await within((on) => requireOperation(on, model, 'updateMany')({ where: own, data: own }))
    },
  }
}
