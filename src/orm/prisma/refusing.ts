import { ConfigurationError } from '../../errors.ts'
import type { Attached } from './accessors.ts'
import { relationsOf, type AnyClient } from './client.ts'

const keyOf = ({ names }: Attached, data: object): string | undefined =>
  names
    .flatMap((name) => [`${name}Tmp`, name])
    .find((key) => (data as Record<string, unknown>)[key] !== undefined)

/** What writes many records at once tells nobody which. */
export function refuseMany(found: Attached | undefined, verb: string, data: unknown): void {
  if (found === undefined) return
  const one = verb.startsWith('create') ? 'create' : 'update'
  const all = Array.isArray(data) ? (data as unknown[]) : [data]
  const key = all
    .map((each) => (typeof each === 'object' && each !== null ? keyOf(found, each) : undefined))
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

const creating: ReadonlySet<string> = new Set(['create', 'createMany', 'connectOrCreate', 'upsert'])
const writing: ReadonlySet<string> = new Set([...creating, 'update', 'updateMany', 'data'])

const isPlain = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' &&
  value !== null &&
  [Object.prototype, null].includes(Object.getPrototypeOf(value) as object | null)

/** What a write does to other records by the way, Prisma tells nobody. */
export function refuseNested(
  client: AnyClient,
  models: readonly Attached[],
  model: string,
  data: unknown,
): void {
  for (const each of Array.isArray(data) ? (data as unknown[]) : [data]) {
    if (!isPlain(each)) continue
    for (const [relation, target] of relationsOf(client, model)) {
      const nested = each[relation]
      if (!isPlain(nested)) continue
      for (const [verb, payload] of Object.entries(nested))
        if (writing.has(verb)) visit(client, models, target, verb, payload, relation)
    }
  }
}

function visit(
  client: AnyClient,
  models: readonly Attached[],
  model: string,
  verb: string,
  payload: unknown,
  relation: string,
): void {
  const found = models.find((each) => each.model === model)
  for (const each of Array.isArray(payload) ? (payload as unknown[]) : [payload]) {
    if (!isPlain(each)) continue
    const key = found && keyOf(found, each)
    if (found !== undefined && (key !== undefined || (found.isRequired && creating.has(verb))))
      throw new ConfigurationError(
        `${model} is written within '${relation}' here, which ${key === undefined ? 'cannot bring the files that are required' : `does not take ${key}`}. Call create() or update() of ${model} itself, in the same $transaction(async (tx) => …).`,
      )
    refuseNested(client, models, model, each)
    for (const [name, value] of Object.entries(each))
      if (writing.has(name)) visit(client, models, model, name, value, relation)
  }
}
