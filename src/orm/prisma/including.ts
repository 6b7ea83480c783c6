import { boundModel } from '../bound.ts'
import type { RecordId } from '../record-id.ts'
import { slotOf, type Attached } from './accessors.ts'
import type { Bringing } from './bringing.ts'
import { propertyOf, type Delegate, type Operation } from './client.ts'

interface Args {
  readonly include?: Readonly<Record<string, unknown>> | null
}

/** `findMany({ include: { photo: true } })`: read with the records, in two statements. null: nothing of ours is asked for. */
export function findMany(on: Bringing, found: Attached, args: Args): (() => Promise<unknown>) | null {
  const { model, definitions, names, id: key } = found
  const { include, ...others } = args
  const asked = Object.entries(include ?? {})
  if (!asked.some(([name]) => names.includes(name))) return null
  const relations = asked.filter(([name]) => !names.includes(name))
  const rest = relations.length === 0 ? others : { ...others, include: Object.fromEntries(relations) }
  return async () => {
    const find = (on.client[propertyOf(model)] as Delegate)['findMany'] as Operation
    const rows = (await find(rest)) as unknown as Record<string, unknown>[]
    if (!asked.some(([name, value]) => names.includes(name) && value === true)) return rows
    const saved = rows.filter((row) => row[key] !== undefined)
    const ids = saved.map((row) => row[key] as RecordId)
    const loaded = await boundModel(definitions).load(ids, on.open === undefined ? undefined : on.proxy)
    for (const [index, row] of saved.entries())
      for (const name of names) {
        const slot = () => slotOf(found, on.open, ids[index]!, name, loaded[index])
        Object.defineProperty(row, name, { get: slot, configurable: true })
        Object.defineProperty(row, `${name}DelayedUploads`, { value: () => slot().delayedUploads(), configurable: true })
      }
    return rows
  }
}
