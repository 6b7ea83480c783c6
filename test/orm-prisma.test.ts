// Prisma: records that are written with their files.
import assert from 'node:assert/strict'
import { after, describe, test, type TestContext } from 'node:test'
import { PrismaBetterSqlite3 } from '@prisma/adapter-better-sqlite3'
import { PrismaMariaDb } from '@prisma/adapter-mariadb'
import { PrismaPg } from '@prisma/adapter-pg'
import { createActiveStorage, hasManyAttached, hasOneAttached } from '../src/index.ts'
import { prisma, withAttachments } from '../src/orm/prisma/index.ts'
import { memory } from '../src/services/memory.ts'
import { databaseContract, ormContract, ormModels, type OrmApp } from '../src/testing/index.ts'
import { kinds, stopEmbedded, type Kind } from './support/databases.ts'
import { generateClient } from './support/prisma.ts'
import { text } from './support/storage.ts'

after(() => stopEmbedded())

const providers = { SQLite: 'sqlite', PostgreSQL: 'postgresql', MariaDB: 'mysql' } as const
type Provider = (typeof providers)[keyof typeof providers]
const providerOf = ({ name }: Kind): Provider => providers[name as keyof typeof providers]

/** All three have the same models; of their types, SQLite's stand for all. */
async function clientOf(kind: Kind, url: string) {
  const provider = providerOf(kind)
  generateClient(provider)
  const { PrismaClient } = (await import(`./.prisma/${provider}/client/client.ts`)) as typeof import('./.prisma/sqlite/client/client.ts')
  const adapter =
    provider === 'sqlite'
      ? new PrismaBetterSqlite3({ url: `file:${url}` })
      : provider === 'postgresql'
        ? new PrismaPg({ connectionString: url })
        : new PrismaMariaDb(url.replace('mysql:', 'mariadb:'))
  return new PrismaClient({ adapter })
}

const notThere = new Error('not there')

async function open(kind: Kind) {
  const made = await kind.create()
  if (made === null) throw notThere
  await made.database.close()
  const base = await clientOf(kind, made.url)
  const id = { SQLite: 'integer primary key', PostgreSQL: 'bigserial primary key', MariaDB: 'bigint auto_increment primary key' }[kind.name]
  for (const table of ['users', 'members']) await base.$executeRawUnsafe(`create table ${table} (id ${id}, name text not null)`)
  const db = base.$extends(withAttachments(ormModels))
  const whole = (value: string) => (kind.name === 'SQLite' ? Number(value) : (BigInt(value) as unknown as number))
  const tmp = (files: object): object => Object.fromEntries(Object.entries(files).map(([name, input]) => [`${name}Tmp`, input]))
  type Tx = Parameters<Parameters<typeof db.$transaction>[0]>[0]
  const usersOf = (on: Tx, model: 'User' | 'Member') => (model === 'User' ? on.user : on.member) as typeof on.user
  const app: OrmApp<Tx> = {
    database: prisma(db),
    create: async (model, name, files, tx = db) => String((await usersOf(tx, model).create({ data: { name, ...tmp(files) } })).id),
    async save(model, recordId, files, tx = db) {
      await usersOf(tx, model).update({ where: { id: whole(recordId) }, data: tmp(files) })
    },
    async destroy(model, recordId, tx = db) {
      await usersOf(tx, model).delete({ where: { id: whole(recordId) } })
    },
    transaction: (run) => db.$transaction(run),
    nested: (tx, run) => tx.$transaction(run),
    names: async (model) => (await usersOf(db, model).findMany({ orderBy: { id: 'asc' } })).map(({ name }) => name),
    async close() {
      await db.$disconnect()
      await made.close()
    },
  }
  return app
}

for (const kind of kinds)
  describe(`Prisma on ${kind.name}`, () => {
    const skipping = (title: string, run: () => Promise<void>) =>
      test(title, (t) =>
        run().catch((error: unknown) => {
          if (error !== notThere) throw error
          t.skip(`${kind.name}: ${kind.why}`)
        }),
      )
    ormContract({ test: skipping, open: () => open(kind) })
    databaseContract({
      test: skipping,
      async create() {
        const app = await open(kind)
        return { database: app.database as never, close: app.close }
      },
    })
  })
void [createActiveStorage, hasManyAttached, hasOneAttached, memory, text]
export type T = TestContext
