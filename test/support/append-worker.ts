// Appends bytes to a staged file in a separate process, and prints the new size or the error.
import type { Database } from '../../src/database/database.ts'
import { mysql } from '../../src/database/mysql.ts'
import { postgres } from '../../src/database/postgres.ts'
import { createTableNames } from '../../src/database/schema.ts'
import { sqlite } from '../../src/database/sqlite.ts'
import { openStore } from '../../src/database/store.ts'
import { ActiveStorageError, StagingOffsetError } from '../../src/errors/errors.ts'
import { appendBytes } from '../../src/staging/staging-file.ts'

const [url = '', fileId = '', offset = '', size = '', letter = ''] = process.argv.slice(2)
const open: (url: string) => unknown = url.startsWith('postgres')
  ? postgres
  : url.startsWith('mysql')
    ? mysql
    : sqlite
const database = open(url) as Database<unknown>
const store = await openStore(database, createTableNames(), 'bigint')
try {
  const data = Buffer.alloc(Number(size), letter)
  console.log(JSON.stringify({ size: await appendBytes(store, fileId, Number(offset), data) }))
} catch (error) {
  if (!(error instanceof ActiveStorageError)) throw error
  const { code } = error
  const expectedOffset = error instanceof StagingOffsetError ? error.expectedOffset : undefined
  console.log(JSON.stringify({ code, expectedOffset }))
} finally {
  await database.close()
}
