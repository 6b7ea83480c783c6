import { ConfigurationError } from '../../errors/errors.ts'
import type { ModelWithAttachments } from './accessors.ts'
import { relationsOf, type AnyClient } from './client.ts'

const findFileKey = ({ names }: ModelWithAttachments, data: object): string | undefined =>
  names
    .flatMap((name) => [`${name}Tmp`, name])
    .find((key) => (data as Record<string, unknown>)[key] !== undefined)

/** What writes many records at once tells nobody which. */
export function refuseMany(
  found: ModelWithAttachments | undefined,
  verb: string,
  data: unknown,
): void {
  if (found === undefined) return
  const one = verb.startsWith('create') ? 'create' : 'update'
  const all = Array.isArray(data) ? (data as unknown[]) : [data]
  const key = all
    .map((each) =>
      typeof each === 'object' && each !== null ? findFileKey(found, each) : undefined,
    )
    .find((each) => each !== undefined)
  if (key !== undefined)
    throw new ConfigurationError(
      `${verb}() of ${found.model} does not take ${key}. Call ${one}() for each record: it brings files along.`,
    )
  if (one === 'create' && found.isRequired)
    throw new ConfigurationError(
      `${verb}() of ${found.model} cannot bring the files that are required. Call create() for each record.`,
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

const isPlainObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' &&
  value !== null &&
  [Object.prototype, null].includes(Object.getPrototypeOf(value) as object | null)

/** What a write does to other records by the way, Prisma tells nobody. */
export function refuseNested(
  client: AnyClient,
  models: readonly ModelWithAttachments[],
  model: string,
  data: unknown,
): void {
  for (const each of Array.isArray(data) ? (data as unknown[]) : [data]) {
    if (!isPlainObject(each)) continue
    for (const [relation, target] of relationsOf(client, model)) {
      const nested = each[relation]
      if (!isPlainObject(nested)) continue
      for (const [verb, payload] of Object.entries(nested))
        if (WRITING_VERBS.has(verb))
          refuseNestedWrite(client, models, target, verb, payload, relation)
    }
  }
}

function refuseNestedWrite(
  client: AnyClient,
  models: readonly ModelWithAttachments[],
  model: string,
  verb: string,
  payload: unknown,
  relation: string,
): void {
  const found = models.find((each) => each.model === model)
  for (const each of Array.isArray(payload) ? (payload as unknown[]) : [payload]) {
    if (!isPlainObject(each)) continue
    const key = found && findFileKey(found, each)
    if (
      found !== undefined &&
      (key !== undefined || (found.isRequired && CREATING_VERBS.has(verb)))
    )
      throw new ConfigurationError(
        `${model} is written within '${relation}' here, which ${key === undefined ? 'cannot bring the files that are required' : `does not take ${key}`}. Call create() or update() of ${model} itself, in the same $transaction(async (tx) => …).`,
      )
    refuseNested(client, models, model, each)
    for (const [name, value] of Object.entries(each))
      if (WRITING_VERBS.has(name)) refuseNestedWrite(client, models, model, name, value, relation)
  }
}
