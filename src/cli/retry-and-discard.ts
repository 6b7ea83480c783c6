import { createInterface } from 'node:readline/promises'
import type { DelayedUpload } from '../attached/values.ts'
import { formatSize } from '../errors/public-message.ts'
import type { OptionValues } from './arguments.ts'
import type { CommandStorage } from './config.ts'

/** One call of a command. */
export interface CommandCall {
  readonly storage: CommandStorage
  readonly ids: readonly string[]
  readonly values: OptionValues
  /** Prints the text on a terminal, the value as JSON elsewhere. */
  print(text: string, value: unknown): void
}
type RetryOrDiscard = 'retry' | 'discard'

/**
 * Runs `retry` or `discard` for the given ids, or for all failed uploads. Returns the exit code.
 */
export async function retryOrDiscard(call: CommandCall, verb: RetryOrDiscard): Promise<number> {
  const { storage, ids, values, print } = call
  const isDry = values['dry-run'] === true
  const done: string[] = []
  const missing: string[] = []
  const unchanged: string[] = []
  const notes: string[] = []
  const mustConfirm = values.failed === true && verb === 'discard' && !isDry && values.yes !== true
  const failed = values.failed === true ? await listFailedUploads(storage) : []
  if (mustConfirm && failed.length > 0 && !(await confirmDiscard(failed))) {
    print('Nothing was done.', { done, missing, unchanged })
    return 1
  }
  const apply = async (upload: DelayedUpload): Promise<void> => {
    if (!isDry) await upload[verb]()
    done.push(upload.id)
  }
  for (const id of ids) {
    const upload = await storage.delayedUploads.find(id)
    if (upload === null) {
      missing.push(id)
      notes.push(`There is no upload ${id}.`)
    } else if (verb === 'retry' && upload.state !== 'failed') {
      unchanged.push(id)
      notes.push(`The upload ${id} has not failed: it is ${upload.state}. Nothing was done.`)
    } else await apply(upload)
  }
  for (const { id } of failed) {
    // Another process may have retried it meanwhile.
    const upload = await storage.delayedUploads.find(id)
    if (upload?.state === 'failed') await apply(upload)
  }
  const count = done.length === 1 ? '1 upload' : `${done.length} uploads`
  const are = isDry ? 'would be' : done.length === 1 ? 'is' : 'are'
  const sentence = `${count} ${are} ${verb === 'retry' ? 'retried' : 'discarded'}.`
  print([sentence, ...notes].join('\n'), {
    done,
    missing,
    unchanged,
    ...(isDry ? { dryRun: true } : {}),
  })
  return missing.length > 0 ? 1 : 0
}

interface FailedUpload {
  readonly id: string
  readonly byteSize: number
}

async function listFailedUploads(storage: CommandStorage): Promise<FailedUpload[]> {
  const all: FailedUpload[] = []
  for (;;) {
    const after = all.at(-1)?.id
    const page = await storage.delayedUploads.list({
      state: 'failed',
      order: 'oldest',
      limit: 100,
      ...(after === undefined ? {} : { after }),
    })
    if (page.length === 0) return all
    for (const { id, files } of page)
      all.push({
        id,
        byteSize: files.reduce(
          (sum, file) => (file.state === 'attached' ? sum : sum + file.byteSize),
          0,
        ),
      })
  }
}

async function confirmDiscard(failed: readonly FailedUpload[]): Promise<boolean> {
  const size = formatSize(failed.reduce((sum, { byteSize }) => sum + byteSize, 0))
  const which = failed.length === 1 ? '1 failed upload' : `${failed.length} failed uploads`
  const asking = createInterface({ input: process.stdin, output: process.stderr })
  try {
    const closed = new Promise<string>((resolve) => asking.once('close', () => resolve('')))
    const question = `${which} with ${size} will be discarded, and the files deleted for good. Go on? [y/N] `
    const answer = await Promise.race([asking.question(question), closed])
    return /^y(es)?$/i.test(answer.trim())
  } finally {
    asking.close()
  }
}
