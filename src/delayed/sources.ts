import type { Hint } from '../jobs/engine.ts'
import type { Leases } from '../jobs/leases.ts'
import type { Source } from '../jobs/source.ts'
import { claimHooks } from './claim-hooks.ts'
import { claimUploads } from './claim.ts'
import type { Delayed } from './definition.ts'
import { hintAgain, hintDue } from './hint.ts'
import type { Places } from './places.ts'
import type { UploadRow } from './upload-rows.ts'
import type { RunResult } from './settle.ts'
import { runHooks, runUpload } from './uploader.ts'
import { turns } from '../turns.ts'

export interface Ready {
  readonly delayed: Delayed
  readonly leases: Leases
  readonly places: Places
}

/** What a worker, or a drain, runs of this room. */
export interface UploadWork {
  readonly uploads: Source
  readonly hooks: Source
  /** Carries this one, if it is due and its turn. null: it is not, or a worker has it. */
  take(token: string, stopping: AbortSignal): Promise<RunResult | null>
  /** Does what a queue of the app's hints at, if it is due and its turn. */
  handle(hint: Hint, stopping: AbortSignal): Promise<void>
}

type Leave = ReturnType<Places['take']>

/** An upload that is claimed, and has a place of its service. */
interface Claimed {
  readonly service: string
  run(stopping: AbortSignal): Promise<RunResult>
}

/** Milliseconds in which a hint goes on with those that were put off: then they come again by themselves. */
const GOES_ON = 5_000

export function uploadWork(
  ready: () => Promise<Ready>,
  tally: (result: RunResult) => void,
): UploadWork {
  const run = async (
    upload: UploadRow,
    leave: Leave,
    stopping: AbortSignal,
  ): Promise<RunResult> => {
    const { delayed, leases, places } = await ready()
    const result = await runUpload(delayed, leases, upload, stopping).catch((error: unknown) => {
      leave(null)
      throw error
    })
    leave(result.isAway === true ? true : result.outcome === 'uploaded' ? false : null)
    const { dueAt } = result
    // Whatever is due by then may be the next to look whether the service is back.
    const nextLook = places.awayUntil(serviceOf(delayed, upload.lane))
    tally(dueAt === undefined ? result : { ...result, dueAt: Math.max(dueAt, nextLook) })
    await hintNext(delayed, upload, result)
    return result
  }
  const claimOne = async (known: Delayed['known'], token: string): Promise<Claimed | null> => {
    const { delayed, places } = await ready()
    const [upload] = await claimUploads({ ...delayed, known }, 1, token)
    if (upload === undefined) return null
    const service = serviceOf(delayed, upload.lane)
    const leave = places.take(service)
    return { service, run: (stopping) => run(upload, leave, stopping) }
  }
  const claimOf = async (
    service: string,
    known: Delayed['known'],
    limit: number,
  ): Promise<Claimed[]> => {
    const { delayed, places } = await ready()
    const uploads = await claimUploads({ ...delayed, known }, Math.min(limit, places.room(service)))
    return uploads.map((upload) => {
      const leave = places.take(service)
      return { service, run: (stopping) => run(upload, leave, stopping) }
    })
  }
  const claimDue = async (limit: number): Promise<Claimed[]> => {
    const groups = knownByService((await ready()).delayed)
    const all: Claimed[] = []
    turn += 1
    // Each service comes first in its turn.
    for (let index = 0; index < groups.length; index += 1) {
      const [service, known] = groups[(index + turn) % groups.length] ?? ['', []]
      const claimed = await claimOf(service, known, limit - all.length).catch((error: unknown) => {
        // What is claimed is begun in any case; the next look meets the error again.
        if (all.length === 0) throw error
        return null
      })
      if (claimed === null) break
      all.push(...claimed)
    }
    return all
  }
  // Whoever looks for room takes it before another looks: hints come many at a time.
  const looking = turns(1)
  const alone = async <T>(look: () => Promise<T>): Promise<T> => {
    await looking.take()
    return look().finally(() => looking.give())
  }
  /** Services without room when hints came, which were put off. */
  const putOff = new Set<string>()
  const goOn = async (service: string, stopping: AbortSignal): Promise<void> => {
    const { delayed, places } = await ready()
    const known = delayed.known.filter((slot) => serviceOf(delayed, slot) === service)
    for (
      const until = performance.now() + GOES_ON;
      putOff.has(service) && !stopping.aborted && performance.now() < until;
    ) {
      const [next] = await alone(async () => {
        const claimed = await claimOf(service, known, 1)
        // Without room, whoever has it goes on.
        if (claimed.length === 0 && places.room(service) > 0) putOff.delete(service)
        return claimed
      })
      if (next === undefined) return
      await next.run(stopping)
    }
  }
  let turn = 0
  return {
    take: async (token, stopping) =>
      (await claimOne((await ready()).delayed.known, token))?.run(stopping) ?? null,
    uploads: {
      name: 'uploads',
      async claim(limit) {
        const claimed = await alone(() => claimDue(limit))
        return claimed.map(({ run }) => ({ run: async (stopping) => void (await run(stopping)) }))
      },
    },
    hooks: {
      name: 'hooks',
      async claim(limit) {
        const { delayed, leases } = await ready()
        const uploads = await claimHooks(delayed, limit)
        return uploads.map((upload) => ({ run: () => runHooks(delayed, leases, upload) }))
      },
    },
    async handle(hint, stopping) {
      const { delayed, places } = await ready()
      const { free, claimed } = await alone(async () => {
        const hasRoom = (slot: Slot): boolean => places.room(serviceOf(delayed, slot)) > 0
        const free = delayed.known.filter(hasRoom)
        // Before a place is given back: whoever does has to see it.
        for (const slot of delayed.known) if (!hasRoom(slot)) putOff.add(serviceOf(delayed, slot))
        return { free, claimed: await claimOne(free, hint.id) }
      })
      if (claimed !== null) {
        await claimed.run(stopping)
        await goOn(claimed.service, stopping)
        return
      }
      if (delayed.engine === null) return
      const waitFor = (slot: Slot): number =>
        free.some((each) => isSame(each, slot)) ? 0 : places.wait(serviceOf(delayed, slot))
      await hintAgain(delayed, delayed.engine, hint.id, waitFor)
    },
  }
}

type Slot = Delayed['known'][number]
const isSame = (a: Slot, b: Slot): boolean => a.type === b.type && a.name === b.name

const serviceOf = (delayed: Delayed, { type, name }: Slot): string =>
  delayed.definition(type, name)?.service ?? ''

function knownByService(delayed: Delayed): [service: string, known: Slot[]][] {
  const groups = new Map<string, Slot[]>()
  for (const slot of delayed.known) {
    const service = serviceOf(delayed, slot)
    groups.set(service, [...(groups.get(service) ?? []), slot])
  }
  return [...groups]
}

/** A queue of the app's is told when the upload is due again, and of what its end has freed. */
async function hintNext(
  delayed: Delayed,
  upload: UploadRow,
  { retryAt }: RunResult,
): Promise<void> {
  const { engine } = delayed
  if (engine === null) return
  try {
    if (retryAt !== undefined)
      await engine.enqueue(
        { kind: 'upload', id: upload.token },
        { executor: delayed.store.session.executor, runAt: retryAt },
      )
    await hintDue(delayed, engine)
  } catch (error) {
    delayed.report('warn', `${engine.name} was not told of what is due; the next sweep tells it.`, {
      error,
    })
  }
}
