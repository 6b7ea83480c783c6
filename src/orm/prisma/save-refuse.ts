import { ConfigurationError } from '../../errors/errors.ts'
import { isObject, toList } from '../object-guards.ts'
import type { PrismaModel } from './bind.ts'
import type { AnyClient } from './client.ts'
import { relationsOf } from './internals.ts'

const findFileKey = ({ names }: PrismaModel, data: unknown): string | undefined =>
  isObject(data)
    ? names.flatMap((name) => [`${name}Tmp`, name]).find((key) => data[key] !== undefined)
    : undefined

/**
 * Throws ConfigurationError for files in a write of many records: Prisma does not say which record
 * gets which data.
 */
export function refuseMany(found: PrismaModel | undefined, verb: string, data: unknown): void {
  if (found === undefined) return
  const single = verb.startsWith('create') ? 'create' : 'update'
  const key = toList(data)
    .map((each) => findFileKey(found, each))
    .find((each) => each !== undefined)
  if (key !== undefined)
    throw new ConfigurationError(
      `${verb}() of ${found.model} does not take ${key}. Call ${single}() for each record, which saves files.`,
    )
  if (single === 'create' && found.isRequired)
    throw new ConfigurationError(
      `${verb}() of ${found.model} cannot save the files that are required. Call create() for each record.`,
    )
}

const CREATING_VERBS: ReadonlySet<string> = new Set([
  'create',
  'createMany',
  'connectOrCreate',
  'upsert',
])
const WRITING_VERBS: ReadonlySet<string> = new Set([
  ...CREATING_VERBS,
  'update',
  'updateMany',
  'data',
])

const isPlainObject = (value: unknown): value is Record<string, unknown> => {
  const prototype: unknown = isObject(value) ? Object.getPrototypeOf(value) : undefined
  return prototype === Object.prototype || prototype === null
}

/** The client whose schema is asked for relations, and its models with attachments. */
interface SchemaModels {
  readonly client: AnyClient
  readonly models: readonly PrismaModel[]
}

/**
 * Throws ConfigurationError for files in writes that are nested in `data` of a model: Prisma
 * reports nothing about them.
 */
export function refuseNested(schema: SchemaModels, model: string, data: unknown): void {
  for (const each of toList(data)) {
    if (!isPlainObject(each)) continue
    for (const [relation, target] of relationsOf(schema.client, model)) {
      const nested = each[relation]
      if (!isPlainObject(nested)) continue
      for (const [verb, payload] of Object.entries(nested))
        if (WRITING_VERBS.has(verb)) refuseWrite(schema, target, { verb, payload, relation })
    }
  }
}

interface NestedWrite {
  readonly verb: string
  readonly payload: unknown
  readonly relation: string
}

function refuseWrite(
  schema: SchemaModels,
  model: string,
  { verb, payload, relation }: NestedWrite,
): void {
  const found = schema.models.find((each) => each.model === model)
  for (const each of toList(payload)) {
    if (!isPlainObject(each)) continue
    const key = found && findFileKey(found, each)
    const isMissing = found?.isRequired === true && CREATING_VERBS.has(verb)
    if (key !== undefined || isMissing)
      throw new ConfigurationError(
        `A write of ${model} within '${relation}' ${key === undefined ? 'lacks the required files' : `does not take ${key}`}. Call create() or update() of ${model} itself, in the same $transaction(async (tx) => …).`,
      )
    refuseNested(schema, model, each)
    for (const [name, value] of Object.entries(each))
      if (WRITING_VERBS.has(name))
        refuseWrite(schema, model, { verb: name, payload: value, relation })
  }
}
