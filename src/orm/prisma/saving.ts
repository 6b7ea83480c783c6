import type { Attached } from './accessors.ts'
import type { Bringing } from './bringing.ts'
import type { Delegate } from './client.ts'
import { filesOf } from './files.ts'
import { lazily } from './lazily.ts'
import { refuseMany, refuseNested } from './refusing.ts'
import { create, remove, update, upsert, type Args } from './writes.ts'

type Verb = (args?: Args) => unknown
/** null: there is nothing for the library to do, and Prisma does it alone. */
type Bring = (args: Args) => (() => Promise<unknown>) | null

const MANY = ['createMany', 'createManyAndReturn', 'updateMany', 'updateManyAndReturn']

/** The operations of a model that write, as the app calls them. */
export function savingOf(on: Bringing, own: Delegate): Readonly<Record<string, Verb | undefined>> {
  const found = on.models.find(({ model }) => model === own.$name)
  const watched =
    (verb: string, bring: Bring): Verb =>
    (args) => {
      try {
        for (const data of [args?.data, args?.create, args?.update])
          refuseNested(on.client, on.models, own.$name, data)
        const run = args === undefined ? null : bring(args)
        return run === null ? (own[verb] as Verb)(args) : lazily(run)
      } catch (error) {
        return lazily(() => Promise.reject(error as Error))
      }
    }
  const verbs: Record<string, Bring> =
    found === undefined
      ? { create: () => null, update: () => null, upsert: () => null }
      : single(on, found)
  for (const verb of MANY)
    verbs[verb] = ({ data }) => {
      refuseMany(found, verb, data)
      return null
    }
  return Object.fromEntries(
    Object.entries(verbs).map(([verb, bring]) => [verb, watched(verb, bring)]),
  )
}

const single = (on: Bringing, found: Attached): Record<string, Bring> => ({
  create(args) {
    const files = filesOf(found, args.data)
    return files.any || found.isRequired ? () => create(on, found, args, files) : null
  },
  update(args) {
    const files = filesOf(found, args.data)
    return files.any ? () => update(on, found, args, files) : null
  },
  upsert(args) {
    const [created, updated] = [filesOf(found, args.create), filesOf(found, args.update)]
    return created.any || updated.any || found.isRequired
      ? () => upsert(on, found, args, created, updated)
      : null
  },
  delete: (args) => () => remove(on, found, args),
})
