import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { createFolderPrefix, sweepTemporaryFolders } from './sweep-temporary-folders.ts'

test('folders of other machines are removed a day after their last change, own ones never', async (t) => {
  const usual = process.env['TMPDIR']
  const folder = await mkdtemp(join(tmpdir(), 'sweep-'))
  process.env['TMPDIR'] = folder
  t.after(async () => {
    if (usual === undefined) delete process.env['TMPDIR']
    else process.env['TMPDIR'] = usual
    await rm(folder, { recursive: true })
  })
  const own = `${await createFolderPrefix()}abcdef`
  const foreign = 'activestorage-delayed-00000000-1-1-abcdef'
  const other = 'activestorage-delayed'
  for (const name of [own, foreign, other]) await mkdir(join(folder, name))
  const hour = 3_600_000
  await sweepTemporaryFolders(Date.now() + 23 * hour)
  assert.deepEqual((await readdir(folder)).toSorted(), [own, foreign, other].toSorted())
  await sweepTemporaryFolders(Date.now() + 25 * hour)
  assert.deepEqual((await readdir(folder)).toSorted(), [own, other].toSorted())
})
