// Generates the Prisma clients, which are not committed, for `npm run typecheck` and the tests.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'

const folder = resolve(import.meta.dirname, '../.prisma')

const schemaOf = (provider: string, recordId: RecordId): string => {
  // SQLite counts up nothing but its own row ids.
  const id =
    recordId === 'uuid'
      ? 'String @id @default(uuid())'
      : `${provider === 'sqlite' ? 'Int' : 'BigInt'} @id @default(autoincrement())`
  return `
generator client {
  provider = "prisma-client"
  output = "./client"
  importFileExtension = "ts"
  generatedFileExtension = "ts"
}
datasource db {
  provider = "${provider}"
}
model User {
  id ${id}
  name String
  @@map("users")
}
model Member {
  id ${id}
  name String
  @@map("members")
}
model Book {
  id ${id}
  title String @unique
  secret String?
  updatedAt DateTime? @updatedAt
  authorId ${id.split(' ')[0]}?
  author Author? @relation(fields: [authorId], references: [id])
  @@map("books")
}
model Author {
  id ${id}
  name String?
  books Book[]
  @@map("authors")
}
`
}

type RecordId = 'bigint' | 'uuid'

/** Once for each schema. Where it is, below test/.prisma. */
export function generateClient(
  provider: 'sqlite' | 'postgresql' | 'mysql',
  recordId: RecordId = 'bigint',
): string {
  const name = recordId === 'uuid' ? `${provider}-uuid` : provider
  const own = resolve(folder, name)
  const [path, schema] = [resolve(own, 'schema.prisma'), schemaOf(provider, recordId)]
  if (existsSync(resolve(own, 'client/client.ts')) && readFileSync(path, 'utf8') === schema)
    return name
  mkdirSync(own, { recursive: true })
  writeFileSync(path, schema)
  const { status, stderr } = spawnSync(
    process.execPath,
    [resolve('node_modules/prisma/build/index.js'), 'generate', '--schema', path],
    {
      encoding: 'utf8',
      // The engine is not needed to generate, and cannot always be downloaded.
      env: {
        ...process.env,
        PRISMA_SCHEMA_ENGINE_BINARY: process.execPath,
        CHECKPOINT_DISABLE: '1',
        PRISMA_HIDE_UPDATE_MESSAGE: '1',
      },
    },
  )
  if (status !== 0) throw new Error(`prisma generate: ${stderr}`)
  return name
}

if (import.meta.main)
  for (const provider of ['sqlite', 'postgresql', 'mysql'] as const) generateClient(provider)
