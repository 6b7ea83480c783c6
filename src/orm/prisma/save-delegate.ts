import type { PrismaModel } from './bind.ts'
import type { Delegate } from './client.ts'
import { createLazyPromise } from './lazy-promise.ts'
import { splitData } from './save-data.ts'
import { refuseMany, refuseNested } from './save-refuse.ts'
import {
  deleteRecord,
  saveRecord,
  upsertRecord,
  type ClientWithFiles,
  type OperationArgs,
} from './save.ts'

type WriteOperation = (args?: OperationArgs) => unknown
/** Returns the write with files. null: there are none, and Prisma's own operation runs. */
type PlanWrite = (args: OperationArgs) => (() => Promise<unknown>) | null

const BATCH_VERBS = ['createMany', 'createManyAndReturn', 'updateMany', 'updateManyAndReturn']

/** Creates the operations of a model that write, in place of Prisma's own. */
export function createWriteOperations(
  on: ClientWithFiles,
  delegate: Delegate,
): Readonly<Record<string, WriteOperation | undefined>> {
  const model = delegate.$name
  const found = on.models.find((each) => each.model === model)
  const plans: Record<string, PlanWrite> =
    found === undefined
      ? { create: () => null, update: () => null, upsert: () => null }
      : planSingleWrites(on, found)
  for (const verb of BATCH_VERBS)
    plans[verb] = ({ data }) => {
      refuseMany(found, verb, data)
      return null
    }
  const toOperation =
    (verb: string, plan: PlanWrite): WriteOperation =>
    (args) => {
      try {
        for (const data of [args?.data, args?.create, args?.update]) refuseNested(on, model, data)
        const run = args === undefined ? null : plan(args)
        return run === null ? callOwn(delegate, verb, args) : createLazyPromise(run)
      } catch (error) {
        // The error rejects a promise, because callers of an operation expect errors there.
        return createLazyPromise(async () => {
          throw error
        })
      }
    }
  return Object.fromEntries(
    Object.entries(plans).map(([verb, plan]) => [verb, toOperation(verb, plan)]),
  )
}

/** Calls Prisma's own operation. A model has no `createManyAndReturn` on MySQL. */
function callOwn(delegate: Delegate, verb: string, args: OperationArgs | undefined): unknown {
  const operation = delegate[verb]
  if (typeof operation !== 'function')
    throw new TypeError(`${delegate.$name}.${verb} is not a function`)
  return Reflect.apply(operation, delegate, [args])
}

const planSingleWrites = (on: ClientWithFiles, found: PrismaModel): Record<string, PlanWrite> => ({
  create(args) {
    const files = splitData(found, args.data)
    return files.hasFiles || found.isRequired
      ? () => saveRecord(on, found, 'create', args, files)
      : null
  },
  update(args) {
    const files = splitData(found, args.data)
    return files.hasFiles ? () => saveRecord(on, found, 'update', args, files) : null
  },
  upsert(args) {
    const files = { create: splitData(found, args.create), update: splitData(found, args.update) }
    return files.create.hasFiles || files.update.hasFiles || found.isRequired
      ? () => upsertRecord(on, found, args, files)
      : null
  },
  delete: (args) => () => deleteRecord(on, found, args),
})
