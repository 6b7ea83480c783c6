import type { Hint } from '../jobs/engine.ts'
import type { Leases } from '../jobs/leases.ts'
import type { Source, Task } from '../jobs/source.ts'
import { claimHooks } from './claim-hooks.ts'
import { claimUploads } from './claim.ts'
import type { Delayed } from './definition.ts'
import { hintAgain, hintDue } from './hint.ts'
import type { Places } from './places.ts'
import type { UploadRow } from './upload-rows.ts'
import type { RunResult } from './settle.ts'
import { runHooks, runUpload } from './uploader.ts'

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

export function uploadWork(ready: () => Promise<Ready>, tally: (result: RunResult) => void): UploadWork {
  const run = async (upload: UploadRow, leave: Leave, stopping: AbortSignal): Promise<RunResult> => {
    const { delayed, leases } = await ready()
    const result = await runUpload(delayed, leases, upload, stopping).catch((error: unknown) => {
      leave(null)
      throw error
    })
    leave(result.isAway === true ? true : result.outcome === 'uploaded' ? false : null)
    tally(result)
    await hintNext(delayed, upload, result)
    return result
  }
  const takeOne = async (known: Delayed['known'], token: string, stopping: AbortSignal): Promise<RunResult | null> => {
    const { delayed, places } = await ready()
    const [upload] = await claimUploads({ ...delayed, known }, 1, token)
    return upload === undefined ? null : run(upload, places.take(serviceOf(delayed, upload.lane)), stopping)
  }
  let turn = 0
  return {
    take: async (token, stopping) => takeOne((await ready()).delayed.known, token, stopping),
    uploads: {
      name: 'uploads',
      async claim(limit) {
        const { delayed, places } = await ready()
        const groups = knownByService(delayed)
        const tasks: Task[] = []
        turn += 1
        // Each service comes first in its turn.
        for (let index = 0; index < groups.length; index += 1) {
          const [service, known] = groups[(index + turn) % groups.length] ?? ['', []]
          const room = Math.min(limit - tasks.length, places.room(service))
          for (const upload of await claimUploads({ ...delayed, known }, room)) {
            const leave = places.take(service)
            tasks.push({ run: async (stopping) => void (await run(upload, leave, stopping)) })
          }
        }
        return tasks
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
      const free = delayed.known.filter((slot) => places.room(serviceOf(delayed, slot)) > 0)
      if ((await takeOne(free, hint.id, stopping)) !== null || delayed.engine === null) return
      const waitFor = (slot: Slot): number => (free.some((each) => isSame(each, slot)) ? 0 : places.wait(serviceOf(delayed, slot)))
      await hintAgain(delayed, delayed.engine, hint.id, waitFor)
    },
  }
}

type Slot = Delayed['known'][number]
const isSame = (a: Slot, b: Slot): boolean => a.type === b.type && a.name === b.name

const serviceOf = (delayed: Delayed, { type, name }: Slot): string => delayed.definition(type, name)?.service ?? ''

function knownByService(delayed: Delayed): [service: string, known: Slot[]][] {
  const groups = new Map<string, Slot[]>()
  for (const slot of delayed.known) {
    const service = serviceOf(delayed, slot)
    groups.set(service, [...(groups.get(service) ?? []), slot])
  }
  return [...groups]
}

/** A queue of the app's is told when the upload is due again, and of what its end has freed. */
async function hintNext(delayed: Delayed, upload: UploadRow, { retryAt }: RunResult): Promise<void> {
  const { engine } = delayed
  if (engine === null) return
  try {
    if (retryAt !== undefined)
      await engine.enqueue({ kind: 'upload', id: upload.token }, { executor: delayed.store.session.executor, runAt: retryAt })
    await hintDue(delayed, engine)
  } catch (error) {
    delayed.report('warn', `${engine.name} was not told of what is due; the next sweep tells it.`, { error })
  }
}
