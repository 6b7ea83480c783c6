import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import busboy from 'busboy'
import type { StagedFile } from '../../src/index.ts'
import { storage } from './storage.ts'

export interface UserForm {
  readonly fields: ReadonlyMap<string, readonly string[]>
  readonly photo: StagedFile | null
  readonly certificates: readonly StagedFile[]
}

/** A file of the form was refused. */
export class FormError extends Error {
  /** The name that was typed, so that nobody types it again. */
  readonly typed: string
  constructor(typed: string, cause: unknown) {
    super('A file was refused.', { cause })
    this.typed = typed
  }
}

/** Stages each file as it streams in, so that a request of any size costs a few chunks of memory. */
export async function readForm(request: Request): Promise<UserForm> {
  const fields = new Map<string, string[]>()
  const staged: { name: string; file: Promise<StagedFile | null> }[] = []
  const parser = busboy({ headers: Object.fromEntries(request.headers), defParamCharset: 'utf8' })
  parser.on('field', (name, value) => fields.set(name, [...(fields.get(name) ?? []), value]))
  parser.on('file', (name, stream, { filename, mimeType }) => {
    if (!filename) {
      stream.resume()
      return
    }
    const slot = name.includes('photo') ? 'User.photo' : 'User.certificates'
    const file = storage.stage({ io: stream, filename, contentType: mimeType }, { for: slot })
    // A refused file is read to its end, so that the browser gets the answer.
    file.catch(() => stream.resume())
    staged.push({ name: slot, file })
  })
  await pipeline(Readable.fromWeb(request.body as never), parser)
  const settled = await Promise.allSettled(staged.map(({ file }) => file))
  const failed = settled.find((each) => each.status === 'rejected')
  if (failed !== undefined) {
    for (const each of settled) if (each.status === 'fulfilled') await each.value?.discard()
    throw new FormError(fields.get('user[name]')?.at(-1) ?? '', failed.reason)
  }
  const of = (slot: string): StagedFile[] =>
    settled.flatMap((each, index) =>
      staged[index]?.name === slot && each.status === 'fulfilled' && each.value !== null ? [each.value] : [],
    )
  return { fields, photo: of('User.photo').at(-1) ?? null, certificates: of('User.certificates') }
}
