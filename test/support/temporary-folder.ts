// The system's temporary folder, which a test replaces.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'

// Read once, because a test may replace the folder several times.
const usual = process.env['TMPDIR']

/** Makes `folder` the system's temporary folder until the test ends. */
export function useTemporaryFolder(t: TestContext, folder: string): void {
  process.env['TMPDIR'] = folder
  t.after(() => {
    if (usual === undefined) delete process.env['TMPDIR']
    else process.env['TMPDIR'] = usual
  })
}

/** Creates a folder and makes it the system's temporary folder until the test ends. */
export async function useOwnTemporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'asd-tmp-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  useTemporaryFolder(t, folder)
  return folder
}
