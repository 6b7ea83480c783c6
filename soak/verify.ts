import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { openStorage } from './storage.ts'

type Opened = ReturnType<typeof openStorage>
type Rows = readonly Readonly<Record<string, unknown>>[]

/** As if every delay were over: what crashes left behind is due at once. */
export async function settle({ storage, database: { executor } }: Opened): Promise<void> {
  const own = (table: string): string => `activestorage_delayed_${table}`
  for (let round = 0; round < 5; round += 1) {
    await executor.run(`update ${own('uploads')} set run_at = 0, lease_until = 0`, [])
    await executor.run(`update ${own('jobs')} set run_at = 0, lease_until = 0`, [])
    await executor.run(`update ${own('files')} set expires_at = 0 where upload_token is null`, [])
    await storage.sweep()
    await storage.drain({ concurrency: 8 })
  }
}

/** What is wrong; nothing, where the library keeps its promises. */
export async function faultsOf(
  { storage, database: { executor } }: Opened,
  folder: string,
): Promise<string[]> {
  const faults: string[] = []
  const rows = async (text: string): Promise<Rows> => (await executor.run(text, [])).rows
  const expect = async (what: string, text: string): Promise<void> => {
    const found = await rows(text)
    if (found.length > 0)
      faults.push(`${what}: ${found.length}, such as ${JSON.stringify(found[0])}`)
  }
  const attached = `select a.record_id as user_id, a.name, b.filename, b.checksum, b.key
    from active_storage_attachments a join active_storage_blobs b on b.id = a.blob_id`
  const wanted = `select user_id, name, filename, md5 from submissions where name = 'documents'
    union all select * from (select distinct on (user_id) user_id, name, filename, md5 from submissions where name = 'photo'
      order by user_id, seq desc) last where filename is not null`
  await expect(
    'lost',
    `select * from (${wanted}) w where not exists (select 1 from (${attached}) a
    where a.user_id = w.user_id and a.name = w.name and a.filename = w.filename and a.checksum = w.md5)`,
  )
  await expect(
    'not asked for',
    `select * from (${attached}) a where not exists (select 1 from (${wanted}) w
    where a.user_id = w.user_id and a.name = w.name and a.filename = w.filename)`,
  )
  await expect(
    'attached twice',
    `select filename, count(*) from (${attached}) a group by filename having count(*) > 1`,
  )
  await expect(
    'attached, and no hook was told',
    `select filename from (${attached}) a where not exists (select 1 from told t where t.filename = a.filename)`,
  )
  await expect(
    'blobs of nothing',
    'select key from active_storage_blobs b where not exists (select 1 from active_storage_attachments a where a.blob_id = b.id)',
  )
  for (const [table, condition] of [
    ['uploads', 'true'],
    ['chunks', 'true'],
    ['jobs', 'true'],
    ['files', "upload_token is null or state <> 'done'"],
  ])
    await expect(
      `rows left in ${table}`,
      `select * from activestorage_delayed_${table} where ${condition}`,
    )
  const entries = await readdir(join(folder, 'objects'), { recursive: true, withFileTypes: true })
  const objects = new Set(
    entries
      .filter((entry) => entry.isFile() && !entry.parentPath.includes('.tmp'))
      .map((entry) => entry.name),
  )
  const keys = new Set(
    (await rows('select key from active_storage_blobs')).map(({ key }) => String(key)),
  )
  const orphans = [...objects].filter((name) => !keys.has(name))
  if (orphans.length > 0)
    faults.push(`objects of nothing: ${orphans.length}, such as ${orphans[0]}`)
  const missing = [...keys].filter((key) => !objects.has(key))
  if (missing.length > 0)
    faults.push(`blobs without an object: ${missing.length}, such as ${missing[0]}`)
  for (const { user_id: user } of await rows('select distinct user_id from submissions'))
    for (const attachment of await storage.record('User', Number(user)).documents.attachments()) {
      const bytes = await attachment.download()
      if (createHash('md5').update(bytes).digest('base64') !== attachment.checksum)
        faults.push(`spoilt: ${attachment.filename}`)
    }
  return faults
}
