import { readStagedId } from '../../attached/signed-tokens.ts'
import type { StorageContext } from '../../attached/context.ts'
import { stagedPath } from '../../attached/paths.ts'
import { stage } from '../../attached/stage.ts'
import type { StagedFile } from '../../attached/staged-file.ts'
import { normalizeFilename } from '../../blobs/filename.ts'
import { InvalidInputError } from '../../errors/errors.ts'
import { dropUnlinkedFile } from '../../staging/file-rows.ts'
import { respond, respondJson, notFound } from '../responses.ts'
import { assertAllowed } from '../authorize.ts'
import { readBodyBytes } from '../request-body.ts'
import { stripFolders } from '../forms/filenames.ts'
import { readForm } from '../forms/read-form.ts'
import type { Params } from '../router.ts'
import { readAttachmentToken } from '../signed-attachment.ts'

/** Stages one file before its form is submitted: the body is the file, or a form with it. */
export async function createStagedFile(
  context: StorageContext,
  request: Request,
  { token = '' }: Params,
): Promise<Response> {
  const { qualifiedName: slot, name } = readAttachmentToken(context, token)
  await assertAllowed(context, request, { action: 'upload', name })
  const isForm = /^multipart\/form-data\b/i.test(request.headers.get('content-type') ?? '')
  const staged = await (isForm
    ? stageFromForm(context, request, slot)
    : stageFromBody(context, request, slot))
  const paths = { path: staged.path(), discardPath: stagedPath(context, staged.signedId) }
  return respondJson(201, { ...staged.toJSON(), ...paths })
}

function stageFromBody(
  context: StorageContext,
  request: Request,
  slot: string,
): Promise<StagedFile> {
  const filename = readFilenameHeader(request)
  const declared = request.headers.get('content-type')
  const io = readBodyBytes(request, { filename })
  return stage(
    context,
    { io, filename, ...(declared === null ? {} : { contentType: declared }) },
    { for: slot },
  )
}

/** Headers hold ASCII: the name comes as in a URL. */
function readFilenameHeader(request: Request): string {
  const given =
    request.headers.get('x-filename') ?? new URL(request.url).searchParams.get('filename') ?? ''
  try {
    const name = decodeURIComponent(given)
    if (normalizeFilename(name).trim() !== '') return name
  } catch {
    // Told below.
  }
  throw new InvalidInputError(
    'Say what the file is called in the header X-Filename, as encodeURIComponent writes it.',
  )
}

async function stageFromForm(
  context: StorageContext,
  request: Request,
  slot: string,
): Promise<StagedFile> {
  const all: StagedFile[] = []
  try {
    await readForm(
      request,
      { files: 1 },
      {
        field: () => undefined,
        file: async ({ filename, contentType, io }) => {
          const file = { io, filename: stripFolders(filename), contentType }
          all.push(await stage(context, file, { for: slot }))
        },
      },
    )
  } catch (error) {
    for (const staged of all) await staged.discard()
    throw error
  }
  const [staged] = all
  if (staged === undefined) throw new InvalidInputError('The form holds no file.')
  return staged
}

/** Gives a staged file up that was not submitted. */
export async function deleteStagedFile(
  context: StorageContext,
  request: Request,
  { token = '' }: Params,
): Promise<Response> {
  const id = readStagedId(context, token)
  if (id === null) throw notFound()
  await assertAllowed(context, request, { action: 'upload' })
  await dropUnlinkedFile((await context.store()).session, id)
  return respond(204, { 'Cache-Control': 'no-store' })
}
