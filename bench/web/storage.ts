// One storage for what is measured: files on a disk, in a database that several processes share.
import { createActiveStorage, hasManyAttached } from '../../src/index.ts'
import type { Database, Service } from '../../src/adapters.ts'
import { postgres } from '../../src/database/postgres.ts'
import { sqlite } from '../../src/database/sqlite.ts'
import { disk } from '../../src/services/disk.ts'

/** `url`: a path of SQLite's, or a url of PostgreSQL's. */
export function openStorage(
  url: string,
  folder: string,
  services: { readonly [name: string]: Service } = {},
) {
  return createActiveStorage({
    database: (url.startsWith('postgres')
      ? postgres(url)
      : sqlite(url)) as unknown as Database<never>,
    services: { local: disk({ root: folder }), ...services },
    service: 'local',
    models: { User: { files: hasManyAttached({ maxSize: '1 GB' }) } },
    secretKeyBase: 'bench',
  })
}
