import type { QueueMessage } from '../jobs/engine.ts'
import type { Leases } from '../jobs/leases.ts'
import type { WorkSource } from '../jobs/work-source.ts'
import { claimHooks } from './claim-hooks.ts'
import { claimUploads } from './claim-uploads.ts'
import type { DelayedContext } from './context.ts'
import { enqueueDue, logNotEnqueued, requeueEarly } from './enqueue.ts'
import { runHookRound } from './hooks.ts'
import type { UploadResult } from './upload-outcome.ts'
import type { ConcurrencyLimits, ReleasePermit } from './concurrency-limits.ts'
import type { UploadRow } from './upload-rows.ts'
import { UploadRun } from './upload-run.ts'
import { createSemaphore } from '../async/semaphore.ts'

export interface WorkContext {
  readonly delayed: DelayedContext
  readonly leases: Leases
  readonly places: ConcurrencyLimits
}

/** What a worker, or a drain, runs of this room. */
export interface UploadWork {
  readonly uploads: WorkSource
  readonly hooks: WorkSource
  /** Carries this one, if it is due and its turn. null: it is not, or a worker has it. */
  runOne(token: string, stopping: AbortSignal): Promise<UploadResult | null>
  /** Does what a queue of the app's hints at, if it is due and its turn. */
  handle(hint: QueueMessage, stopping: AbortSignal): Promise<void>
}

/** An upload that is claimed, and has a place of its service. */
interface ClaimedUpload {
  readonly service: string
  run(stopping: AbortSignal): Promise<UploadResult>
}

/** Milliseconds in which a hint goes on with those that were put off: then they come again by themselves. */
const CONTINUE_FOR_MS = 5_000

export function createUploadWork(
  ready: () => Promise<WorkContext>,
  tally: (result: UploadResult) => void,
): UploadWork {
  const run = async (
    upload: UploadRow,
    leave: ReleasePermit,
    stopping: AbortSignal,
  ): Promise<UploadResult> => {
    const { delayed, leases, places } = await ready()
    const uploadRun = new UploadRun({ context: delayed, leases, upload, stopping })
    const result = await uploadRun.run().catch((error: unknown) => {
      leave('unknown')
      throw error
    })
    leave(
      result.isServiceUnavailable === true
        ? 'unavailable'
        : result.outcome === 'uploaded'
          ? 'available'
          : 'unknown',
    )
    const { dueAt } = result
    // Whatever is due by then may be the next to look whether the service is back.
    const nextLook = places.unavailableUntil(findServiceName(delayed, upload.lane))
    tally(dueAt === undefined ? result : { ...result, dueAt: Math.max(dueAt, nextLook) })
    await enqueueNext(delayed, upload, result)
    return result
  }
  const claimOne = async (
    known: DelayedContext['knownAttachments'],
    token: string,
  ): Promise<ClaimedUpload | null> => {
    const { delayed, places } = await ready()
    const [upload] = await claimUploads({ ...delayed, knownAttachments: known }, 1, token)
    if (upload === undefined) return null
    const service = findServiceName(delayed, upload.lane)
    const leave = places.acquire(service)
    return { service, run: (stopping) => run(upload, leave, stopping) }
  }
  const claimOf = async (
    service: string,
    known: DelayedContext['knownAttachments'],
    limit: number,
  ): Promise<ClaimedUpload[]> => {
    const { delayed, places } = await ready()
    const uploads = await claimUploads(
      { ...delayed, knownAttachments: known },
      Math.min(limit, places.capacity(service)),
    )
    return uploads.map((upload) => {
      const leave = places.acquire(service)
      return { service, run: (stopping) => run(upload, leave, stopping) }
    })
  }
  const claimDue = async (limit: number): Promise<ClaimedUpload[]> => {
    const groups = groupByService((await ready()).delayed)
    const all: ClaimedUpload[] = []
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
  const looking = createSemaphore(1)
  const alone = async <T>(look: () => Promise<T>): Promise<T> => {
    await looking.acquire()
    return look().finally(() => looking.release())
  }
  /** Services without room when hints came, which were put off. */
  const putOff = new Set<string>()
  const goOn = async (service: string, stopping: AbortSignal): Promise<void> => {
    const { delayed, places } = await ready()
    const known = delayed.knownAttachments.filter(
      (slot) => findServiceName(delayed, slot) === service,
    )
    for (
      const until = performance.now() + CONTINUE_FOR_MS;
      putOff.has(service) && !stopping.aborted && performance.now() < until;
    ) {
      const [next] = await alone(async () => {
        const claimed = await claimOf(service, known, 1)
        // Without room, whoever has it goes on.
        if (claimed.length === 0 && places.capacity(service) > 0) putOff.delete(service)
        return claimed
      })
      if (next === undefined) return
      await next.run(stopping)
    }
  }
  let turn = 0
  return {
    runOne: async (token, stopping) =>
      (await claimOne((await ready()).delayed.knownAttachments, token))?.run(stopping) ?? null,
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
        return uploads.map((upload) => ({ run: () => runHookRound(delayed, leases, upload) }))
      },
    },
    async handle(hint, stopping) {
      const { delayed, places } = await ready()
      const { free, claimed } = await alone(async () => {
        const hasRoom = (slot: KnownPair): boolean =>
          places.capacity(findServiceName(delayed, slot)) > 0
        const free = delayed.knownAttachments.filter(hasRoom)
        // Before a place is given back: whoever does has to see it.
        for (const slot of delayed.knownAttachments)
          if (!hasRoom(slot)) putOff.add(findServiceName(delayed, slot))
        return { free, claimed: await claimOne(free, hint.id) }
      })
      if (claimed !== null) {
        await claimed.run(stopping)
        await goOn(claimed.service, stopping)
        return
      }
      if (delayed.engine === null) return
      const waitFor = (slot: KnownPair): number =>
        free.some((each) => isSamePair(each, slot))
          ? 0
          : places.retryDelay(findServiceName(delayed, slot))
      await requeueEarly(delayed, delayed.engine, hint.id, waitFor)
    },
  }
}

type KnownPair = DelayedContext['knownAttachments'][number]
const isSamePair = (a: KnownPair, b: KnownPair): boolean => a.type === b.type && a.name === b.name

const findServiceName = (delayed: DelayedContext, { type, name }: KnownPair): string =>
  delayed.findDefinition(type, name)?.service ?? ''

function groupByService(delayed: DelayedContext): [service: string, known: KnownPair[]][] {
  const groups = new Map<string, KnownPair[]>()
  for (const slot of delayed.knownAttachments) {
    const service = findServiceName(delayed, slot)
    groups.set(service, [...(groups.get(service) ?? []), slot])
  }
  return [...groups]
}

/** A queue of the app's is told when the upload is due again, and of what its end has freed. */
async function enqueueNext(
  delayed: DelayedContext,
  upload: UploadRow,
  { retryAt }: UploadResult,
): Promise<void> {
  const { engine } = delayed
  if (engine === null) return
  try {
    if (retryAt !== undefined)
      await engine.enqueue(
        { kind: 'upload', id: upload.token },
        { executor: delayed.store.session.portableExecutor, runAt: retryAt },
      )
    await enqueueDue(delayed, engine)
  } catch (error) {
    logNotEnqueued(delayed.log, engine, error)
  }
}
