import type { ModelWithAttachments } from './accessors.ts'
import type { ClientWithFiles } from './save-client.ts'
import type { Delegate } from './client.ts'
import { splitData } from './save-data.ts'
import { createLazyPromise } from './lazy-promise.ts'
import { refuseMany, refuseNested } from './save-refuse.ts'
import {
  createRecord,
  deleteRecord,
  updateRecord,
  upsertRecord,
  type OperationArgs,
} from './save.ts'

type WriteOperation = (args?: OperationArgs) => unknown
/** null: there is nothing for the library to do, and Prisma does it alone. */
type PlanWrite = (args: OperationArgs) => (() => Promise<unknown>) | null

const BATCH_VERBS = ['createMany', 'createManyAndReturn', 'updateMany', 'updateManyAndReturn']

/** The operations of a model that write, as the app calls them. */
export function createWriteOperations(
  on: ClientWithFiles,
  own: Delegate,
): Readonly<Record<string, WriteOperation | undefined>> {
  const found = on.models.find(({ model }) => model === own.$name)
  const watched =
    (verb: string, bring: PlanWrite): WriteOperation =>
    (args) => {
      try {
        for (const data of [args?.data, args?.create, args?.update])
          refuseNested(on.client, on.models, own.$name, data)
        const run = args === undefined ? null : bring(args)
        return run === null ? (own[verb] as WriteOperation)(args) : createLazyPromise(run)
      } catch (error) {
        return createLazyPromise(() => Promise.reject(error as Error))
      }
    }
  const verbs: Record<string, PlanWrite> =
    found === undefined
      ? { create: () => null, update: () => null, upsert: () => null }
      : planSingleWrites(on, found)
  for (const verb of BATCH_VERBS)
    verbs[verb] = ({ data }) => {
      refuseMany(found, verb, data)
      return null
    }
  return Object.fromEntries(
    Object.entries(verbs).map(([verb, bring]) => [verb, watched(verb, bring)]),
  )
}

const planSingleWrites = (
  on: ClientWithFiles,
  found: ModelWithAttachments,
): Record<string, PlanWrite> => ({
  create(args) {
    const files = splitData(found, args.data)
    return files.any || found.isRequired ? () => createRecord(on, found, args, files) : null
  },
  update(args) {
    const files = splitData(found, args.data)
    return files.any ? () => updateRecord(on, found, args, files) : null
  },
  upsert(args) {
    const [created, updated] = [splitData(found, args.create), splitData(found, args.update)]
    return created.any || updated.any || found.isRequired
      ? () => upsertRecord(on, found, args, created, updated)
      : null
  },
  delete: (args) => () => deleteRecord(on, found, args),
})
