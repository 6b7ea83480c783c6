// Measures the time that a file adds to a save: the same record of the same ORM, with a file and
// without, on PostgreSQL.
import { createRequire } from 'node:module'
import { Adapter, BaseModel } from '@adonisjs/lucid/orm'
import { Database as LucidDatabase } from '@adonisjs/lucid/database'
import { EntitySchema as MikroSchema } from '@mikro-orm/core'
import { MikroORM } from '@mikro-orm/postgresql'
import { drizzle as drizzlePg } from 'drizzle-orm/node-postgres'
import { pgTable, serial, text } from 'drizzle-orm/pg-core'
import knexInit from 'knex'
import { Kysely, PostgresDialect, type Generated } from 'kysely'
import objectionPackage from 'objection'
import pg from 'pg'
import { DataTypes, Model as SequelizeModel, Sequelize } from 'sequelize'
import { DataSource, EntitySchema } from 'typeorm'
import { createActiveStorage, hasOneAttached } from '../src/index.ts'
import type { Database } from '../src/adapters.ts'
import { drizzle } from '../src/orm/drizzle/index.ts'
import { knex } from '../src/orm/knex/index.ts'
import { kysely } from '../src/orm/kysely/index.ts'
import { lucid, withAttachments as withLucid } from '../src/orm/lucid/index.ts'
import { mikroOrm, withAttachments as withMikro } from '../src/orm/mikro-orm/index.ts'
import { objection, withAttachments as withObjection } from '../src/orm/objection/index.ts'
import { sequelize, withAttachments as withSequelize } from '../src/orm/sequelize/index.ts'
import { typeorm, withAttachments as withTypeorm } from '../src/orm/typeorm/index.ts'
import { memory } from '../src/services/memory.ts'
import { kinds, closeDatabases } from '../test/support/databases.ts'
import { bytesOf, median, ratio, report, type Row } from './table.ts'

const TIMES = 40
const SIZE = 100 * 1024

let statements = 0
/** MikroORM has a pg of its own. */
for (const { Client } of [
  pg,
  createRequire(createRequire(import.meta.url).resolve('@mikro-orm/postgresql'))('pg') as typeof pg,
]) {
  const query = Client.prototype.query as (...given: unknown[]) => unknown
  Client.prototype.query = function (this: unknown, ...given: unknown[]) {
    statements += 1
    return query.apply(this, given)
  } as never
}

interface Case {
  readonly database: Database<never, boolean>
  plain(): Promise<unknown>
  /** `within`: of the storage, for what says by itself which transaction. */
  bringing(file: object, storage: Storage): Promise<unknown>
  end(): Promise<unknown>
}
type Storage = ReturnType<typeof open>
const open = (database: Database<never, boolean>, attachments: Attachments) =>
  createActiveStorage({
    database: database as Database<never, true>,
    services: { memory: memory() },
    models: { User: attachments },
    secretKeyBase: 'bench',
    logger: false,
  })
type Attachments = ReturnType<typeof attachmentsOf>
const attachmentsOf = () => ({ photo: hasOneAttached() })
const submit = (
  storage: Storage,
  id: number,
  transaction: unknown,
  file: object,
): Promise<unknown> =>
  storage.record('User', id, { transaction: transaction as never }).photo.attachLater(file as never)
const database = (made: unknown): Database<never, boolean> => made as Database<never, boolean>

const cases: Readonly<Record<string, (url: string, attachments: Attachments) => Promise<Case>>> = {
  async TypeORM(url, attachments) {
    class User extends withTypeorm(attachments) {
      declare id: number
      declare name: string
    }
    class Plain {
      declare id: number
      declare name: string
    }
    const columns = {
      id: { type: 'integer', primary: true, generated: 'increment' },
      name: { type: 'text' },
    } as const
    const entities = [User, Plain].map(
      (target) =>
        new EntitySchema({ name: target.name, target, tableName: 'users', columns } as never),
    )
    const source = new DataSource({ type: 'postgres', url, entities: entities as never })
    const made = typeorm(source)
    await source.initialize()
    return {
      database: database(made),
      plain: () => source.manager.save(source.manager.create(Plain, { name: 'Ada' })),
      bringing: (file) =>
        source.manager.save(source.manager.create(User, { name: 'Ada', photoTmp: file as never })),
      end: () => source.destroy(),
    }
  },
  async MikroORM(url, attachments) {
    class User extends withMikro(attachments) {
      declare id: number
      declare name: string
    }
    class Plain {
      declare id: number
      declare name: string
    }
    const properties = {
      id: { type: 'integer', primary: true, autoincrement: true },
      name: { type: 'text' },
    }
    const entities = [User, Plain].map(
      (each) =>
        new MikroSchema({
          class: each,
          tableName: each === User ? 'users' : 'people',
          properties,
        } as never),
    )
    const orm = await MikroORM.init({
      clientUrl: url,
      entities: entities as never,
      metadataCache: { enabled: false },
    })
    const save = (type: typeof User | typeof Plain, data: object): Promise<void> => {
      const em = orm.em.fork()
      em.create(type, data as never)
      return em.flush()
    }
    return {
      database: database(mikroOrm(orm)),
      plain: () => save(Plain, { name: 'Ada' }),
      bringing: (file) => save(User, { name: 'Ada', photoTmp: file }),
      end: () => orm.close(),
    }
  },
  async Sequelize(url, attachments) {
    const app = new Sequelize(url, { logging: false })
    class User extends withSequelize(attachments, SequelizeModel) {}
    class Plain extends SequelizeModel {}
    const columns = {
      id: { type: DataTypes.INTEGER, primaryKey: true, autoIncrement: true },
      name: DataTypes.TEXT,
    }
    for (const model of [User, Plain])
      model.init({ ...columns }, { sequelize: app, tableName: 'users', timestamps: false })
    return {
      database: database(sequelize(app)),
      plain: () => Plain.create({ name: 'Ada' }),
      bringing: (file) => User.create({ name: 'Ada', photoTmp: file }),
      end: () => app.close(),
    }
  },
  async Objection(url, attachments) {
    const db = knexInit({ client: 'pg', connection: url })
    class User extends withObjection(attachments, objectionPackage.Model) {
      static override tableName = 'users'
    }
    class Plain extends objectionPackage.Model {
      static override tableName = 'users'
    }
    return {
      database: database(objection(db, [User])),
      plain: async () => Plain.query(db).insert({ name: 'Ada' } as never),
      bringing: async (file) => User.query(db).insert({ name: 'Ada', photoTmp: file } as never),
      end: () => db.destroy(),
    }
  },
  async Lucid(url, attachments) {
    const db = new LucidDatabase(
      { connection: 'main', connections: { main: { client: 'pg', connection: url } } } as never,
      new Proxy({}, { get: () => () => undefined }) as never,
      { emit: () => undefined, hasListeners: () => false } as never,
    )
    class User extends withLucid(attachments, BaseModel) {}
    class Plain extends BaseModel {}
    for (const model of [User, Plain]) {
      model.table = 'users'
      model.$adapter = new Adapter(db)
      model.boot()
      for (const name of ['id', 'name']) model.$addColumn(name, { isPrimary: name === 'id' })
    }
    return {
      database: database(lucid(db, { models: [User] })),
      plain: () => Plain.create({ name: 'Ada' } as never),
      bringing: (file) => User.create({ name: 'Ada', photoTmp: file } as never),
      end: () => db.manager.closeAll(),
    }
  },
  async Knex(url) {
    const db = knexInit({ client: 'pg', connection: url })
    return {
      database: database(knex(db)),
      plain: async () => db('users').insert({ name: 'Ada' }).returning('id'),
      bringing: (file, storage) =>
        db.transaction(async (trx) => {
          const [user] = (await trx('users').insert({ name: 'Ada' }).returning('id')) as {
            id: number
          }[]
          await submit(storage, user!.id, trx, file)
        }),
      end: () => db.destroy(),
    }
  },
  async Kysely(url) {
    const pool = new pg.Pool({ connectionString: url })
    const db = new Kysely<{ users: { id: Generated<number>; name: string } }>({
      dialect: new PostgresDialect({ pool }),
    })
    const insert = (on: typeof db) =>
      on.insertInto('users').values({ name: 'Ada' }).returning('id').executeTakeFirstOrThrow()
    return {
      database: database(kysely(db)),
      plain: () => insert(db),
      bringing: (file, storage) =>
        db.transaction().execute(async (trx) => submit(storage, (await insert(trx)).id, trx, file)),
      end: () => db.destroy(),
    }
  },
  async Drizzle(url) {
    const pool = new pg.Pool({ connectionString: url })
    const db = drizzlePg(pool)
    const users = pgTable('users', { id: serial().primaryKey(), name: text().notNull() })
    return {
      database: database(drizzle(db)),
      plain: () => db.insert(users).values({ name: 'Ada' }).returning(),
      bringing: (file, storage) =>
        db.transaction(async (tx) => {
          const [user] = await tx.insert(users).values({ name: 'Ada' }).returning()
          await submit(storage, user!.id, tx, file)
        }),
      end: () => pool.end(),
    }
  },
}

const rows: Row[] = []
for (const [name, make] of Object.entries(cases)) {
  const made = await kinds.find((kind) => kind.name === 'PostgreSQL')?.create()
  if (made == null) break
  const client = new pg.Client({ connectionString: made.url })
  await client.connect()
  // MikroORM has one class for a table.
  for (const table of ['users', 'people'])
    await client.query(`create table ${table} (id serial primary key, name text not null)`)
  await client.end()
  await made.database.close()
  const attachments = attachmentsOf()
  const each = await make(made.url, attachments)
  const storage = open(each.database, attachments)
  await storage.migrate()
  const bytes = bytesOf(SIZE)
  const counted = async (run: () => Promise<unknown>): Promise<number> => {
    const before = statements
    await run()
    return statements - before
  }
  const bringing = () => each.bringing({ io: bytes(), filename: 'photo.jpg' }, storage)
  // The first of each prepares what the others find.
  await each.plain()
  await bringing()
  const [without, added] = [await counted(() => each.plain()), await counted(bringing)]
  const plain = await median(TIMES, () => each.plain())
  const withFile = await median(TIMES, bringing)
  rows.push({
    ORM: name,
    'statements without': without,
    'with 100 KB': added,
    'ms without': plain.toFixed(2),
    'ms with': withFile.toFixed(2),
    'with ÷ without': ratio(withFile, plain),
  })
  await storage.close()
  await each.end()
  await made.close()
}
await closeDatabases()
report('orms', rows)
