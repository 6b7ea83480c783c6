import { PrismaBetterSqlite3 } from '@prisma/adapter-better-sqlite3'
import { PrismaPg } from '@prisma/adapter-pg'
import { createActiveStorage, hasManyAttached, hasOneAttached } from 'activestorage-delayed'
import { prisma, withAttachments } from 'activestorage-delayed/prisma'
import { disk } from 'activestorage-delayed/services/disk'
import { PrismaClient } from '../generated/prisma/client.ts'
import { folder, provider, url } from './database.ts'

function connect() {
  const userAttachments = {
    photo: hasOneAttached({ accept: ['image/*'], maxSize: '20 MB' }),
    certificates: hasManyAttached({ maxFiles: 30, maxSize: '2 GB' }),
  }
  const adapter =
    provider === 'sqlite'
      ? new PrismaBetterSqlite3({ url })
      : new PrismaPg({ connectionString: url })
  const db = new PrismaClient({ adapter }).$extends(withAttachments({ User: userAttachments }))
  const storage = createActiveStorage({
    database: prisma(db),
    services: { local: disk({ root: `${folder}/storage` }) },
    models: { User: userAttachments },
    secretKeyBase: process.env.SECRET_KEY_BASE ?? 'only for this example',
  })
  return { db, storage }
}

// Next bundles instrumentation.ts and each route by themselves: they share one connection.
const shared = globalThis as unknown as { app?: ReturnType<typeof connect> }
export const { db, storage } = (shared.app ??= connect())
