import type { StorageContext } from '../../attached/context.ts'
import { discardSignedFile } from '../../attached/lookups.ts'
import { stagedPath } from '../../attached/paths.ts'
import { readStagedId } from '../../attached/signed-tokens.ts'
import { stage } from '../../attached/stage.ts'
import type { StagedFile } from '../../attached/staged-file.ts'
import { normalizeFilename } from '../../blobs/filename.ts'
import { InvalidInputError } from '../../errors/errors.ts'
import { UNREADABLE_MESSAGE } from '../../errors/public-message.ts'
import { assertAllowed } from '../authorize.ts'
import { stripFolders } from '../forms/filenames.ts'
import { readForm } from '../forms/read-form.ts'
import { unreadableForm } from '../forms/unreadable-form.ts'
import { readBodyBytes } from '../request-body.ts'
import { notFound, respond, respondJson } from '../responses.ts'
import type { Params } from '../router.ts'
import { readAttachmentToken } from '../signed-attachment.ts'

/** Stages one file before its form is submitted. The body is the file, or a form with one file. */
export async function createStagedFile(
  context: StorageContext,
  request: Request,
  { token = '' }: Params,
): Promise<Response> {
  const { qualifiedName, model, name } = readAttachmentToken(context, token)
  await assertAllowed(context, request, { action: 'upload', model, name })
  const isForm = /^multipart\/form-data\b/i.test(request.headers.get('content-type') ?? '')
  const staged = await (isForm
    ? stageFromForm(context, request, qualifiedName)
    : stageFromBody(context, request, qualifiedName))
  const paths = { path: staged.path(), discardPath: stagedPath(context, staged.signedId) }
  return respondJson(201, { ...staged.toJSON(), ...paths })
}

function stageFromBody(
  context: StorageContext,
  request: Request,
  qualifiedName: string,
): Promise<StagedFile> {
  const filename = readFilenameHeader(request)
  const contentType = request.headers.get('content-type')
  const io = readBodyBytes(request, { filename })
  const file = { io, filename, ...(contentType === null ? {} : { contentType }) }
  return stage(context, file, { for: qualifiedName })
}

/** Headers are ASCII, so the name is encoded as in a URL. */
function readFilenameHeader(request: Request): string {
  const encoded =
    request.headers.get('x-filename') ?? new URL(request.url).searchParams.get('filename') ?? ''
  try {
    const name = decodeURIComponent(encoded)
    if (normalizeFilename(name).trim() !== '') return name
  } catch {
    // An invalid escape has the same error as a missing name.
  }
  throw new InvalidInputError(
    'Send the filename in the header X-Filename, encoded with encodeURIComponent.',
    { publicMessage: UNREADABLE_MESSAGE },
  )
}

async function stageFromForm(
  context: StorageContext,
  request: Request,
  qualifiedName: string,
): Promise<StagedFile> {
  const stagedFiles: StagedFile[] = []
  try {
    await readForm(
      request,
      { files: 1 },
      {
        field: () => undefined,
        async file({ filename, contentType, io }) {
          const file = { io, filename: stripFolders(filename), contentType }
          stagedFiles.push(await stage(context, file, { for: qualifiedName }))
        },
      },
    )
  } catch (error) {
    for (const staged of stagedFiles) await staged.discard()
    throw error
  }
  const [staged] = stagedFiles
  if (staged === undefined) throw unreadableForm('The form has no file.')
  return staged
}

/** Discards a staged file that was not submitted. */
export async function deleteStagedFile(
  context: StorageContext,
  request: Request,
  { token = '' }: Params,
): Promise<Response> {
  if (readStagedId(context, token) === null) throw notFound()
  await assertAllowed(context, request, { action: 'upload' })
  await discardSignedFile(context, token)
  return respond(204, { 'Cache-Control': 'no-store' })
}
