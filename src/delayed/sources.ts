import type { Hint } from '../jobs/engine.ts'
import type { Leases } from '../jobs/leases.ts'
import type { Source } from '../jobs/source.ts'
import { claimHooks } from './claim-hooks.ts'
import { claimUploads } from './claim.ts'
import type { Delayed } from './definition.ts'
import { hintAgain, hintDue } from './hint.ts'
import type { UploadRow } from './upload-rows.ts'
import type { RunResult } from './settle.ts'
import { runHooks, runUpload } from './uploader.ts'

export interface Ready {
  readonly delayed: Delayed
  readonly leases: Leases
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

export function uploadWork(ready: () => Promise<Ready>, tally: (result: RunResult) => void): UploadWork {
  const run = async (upload: UploadRow, stopping: AbortSignal): Promise<RunResult> => {
    const { delayed, leases } = await ready()
    const result = await runUpload(delayed, leases, upload, stopping)
    tally(result)
    const { engine } = delayed
    if (engine === null) return result
    try {
      if (result.retryAt !== undefined)
        await engine.enqueue({ kind: 'upload', id: upload.token }, { executor: delayed.store.session.executor, runAt: result.retryAt })
      await hintDue(delayed, engine)
    } catch (error) {
      delayed.report('warn', `${engine.name} was not told of what is due; the next sweep tells it.`, { error })
    }
    return result
  }
  const take = async (token: string, stopping: AbortSignal): Promise<RunResult | null> => {
    const [upload] = await claimUploads((await ready()).delayed, 1, token)
    return upload === undefined ? null : run(upload, stopping)
  }
  return {
    take,
    uploads: {
      name: 'uploads',
      async claim(limit) {
        const uploads = await claimUploads((await ready()).delayed, limit)
        return uploads.map((upload) => ({ run: async (stopping) => void (await run(upload, stopping)) }))
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
      const { delayed } = await ready()
      if ((await take(hint.id, stopping)) === null && delayed.engine !== null) await hintAgain(delayed, delayed.engine, hint.id)
    },
  }
}
