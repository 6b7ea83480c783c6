// `npm run test:apps`: the package installs beside whatever an app has, and a binding says which
// version it needs.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { appEnv } from '../support/example-app.ts'

const run = promisify(execFile)

const older = {
  '@mikro-orm/core': '6.6.16',
  '@mikro-orm/postgresql': '6.6.16',
  '@nestjs/common': '10.4.22',
  '@nestjs/core': '10.4.22',
  '@nestjs/platform-express': '10.4.22',
  '@prisma/client': '6.19.3',
  fastify: '4.29.1',
  pg: '8.23.1',
  'reflect-metadata': '0.2.2',
  rxjs: '7.8.2',
  typeorm: '0.3.31',
}

/** The error of each call; null: it works. */
const app = `
import 'reflect-metadata'
import { EntitySchema, MikroORM } from '@mikro-orm/postgresql'
import fastify from 'fastify'
import { DataSource } from 'typeorm'
import { createActiveStorage, hasOneAttached } from 'activestorage-delayed'
import { activeStorage } from 'activestorage-delayed/fastify'
import { mikroOrm } from 'activestorage-delayed/mikro-orm'
import { ActiveStorageModule } from 'activestorage-delayed/nestjs'
import { prisma } from 'activestorage-delayed/prisma'
import { memory } from 'activestorage-delayed/services/memory'
import { sqlite } from 'activestorage-delayed/sqlite'
import { typeorm } from 'activestorage-delayed/typeorm'

const url = 'postgres://127.0.0.1:1/app'
const storage = createActiveStorage({
  database: sqlite(':memory:'),
  services: { memory: memory() },
  models: { User: { photo: hasOneAttached() } },
  secretKeyBase: 'a secret of the tests',
})
const User = new EntitySchema({ name: 'User', properties: { id: { primary: true, type: 'number' } } })
const bindings = {
  typeorm: () => typeorm(new DataSource({ type: 'postgres', url })),
  prisma: () => prisma({ $queryRawUnsafe() {}, _activeProvider: 'postgresql' }),
  mikroOrm: () => mikroOrm(MikroORM.initSync({ clientUrl: url, entities: [User], connect: false })),
  nest: () => ActiveStorageModule.forRoot({ storage }),
  async fastify() {
    const app = fastify()
    await app.register(activeStorage(storage))
    const { statusCode } = await app.inject(storage.basePath + '/blobs/none/a.txt')
    if (statusCode !== 404) throw new Error('It answered ' + statusCode)
    await app.close()
  },
}
const said = {}
for (const [name, bind] of Object.entries(bindings))
  said[name] = await Promise.resolve().then(bind).then(() => null, (error) => error.code + ' ' + error.message)
console.log(JSON.stringify(said))
process.exit(0)
`

test(
  'it is installed beside older packages, and a binding says which version it needs',
  { timeout: 300_000 },
  async (t) => {
    const tarball = process.env['TEST_PACKAGE']
    assert.ok(tarball, 'TEST_PACKAGE is the package to install: npm run test:apps makes it')
    const cwd = await mkdtemp(join(tmpdir(), 'beside-older-'))
    t.after(() => rm(cwd, { recursive: true, force: true }))
    const manifest = {
      private: true,
      type: 'module',
      dependencies: { ...older, 'activestorage-delayed': `file:${tarball}` },
    }
    await writeFile(join(cwd, 'package.json'), JSON.stringify(manifest))
    await writeFile(join(cwd, 'app.js'), app)
    try {
      await run(
        'npm',
        ['install', '--prefer-offline', '--ignore-scripts', '--no-audit', '--no-fund'],
        { cwd, env: appEnv, maxBuffer: 1e8 },
      )
    } catch (error) {
      const { stderr } = error as { stderr: string }
      if (/ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT/.test(stderr))
        return t.skip('no registry of packages answered')
      throw new Error(stderr, { cause: error })
    }
    const { stdout } = await run(process.execPath, ['app.js'], { cwd, env: appEnv })
    const { typeorm, prisma, mikroOrm, nest, fastify } = JSON.parse(stdout) as Record<
      string,
      string | null
    >
    assert.match(
      typeorm ?? '',
      /^CONFIGURATION typeorm\(\) needs typeorm 1\.0\.0 or newer, and this app has 0\.3\./,
    )
    assert.match(
      prisma ?? '',
      /^CONFIGURATION prisma\(\) needs @prisma\/client 7\.0\.0 or newer, and this app has 6\./,
    )
    assert.match(
      mikroOrm ?? '',
      /^CONFIGURATION mikroOrm\(\) needs @mikro-orm\/core 7\.2\.0 or newer, and this app has 6\./,
    )
    assert.match(
      nest ?? '',
      /^CONFIGURATION ActiveStorageModule needs @nestjs\/core 11\.0\.0 or newer, and this app has 10\./,
    )
    assert.equal(fastify, null)
  },
)
