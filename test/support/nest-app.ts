// The package as installed, and the app of test/nest on it, compiled as users compile theirs.
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { after, type TestContext } from 'node:test'
import type { DynamicModule, INestApplication } from '@nestjs/common'
import { NestFactory, type AbstractHttpAdapter } from '@nestjs/core'
import { ExpressAdapter } from '@nestjs/platform-express'
import type { ActiveStorageModuleOptions } from '../../src/nestjs/index.ts'
import type { ActiveStorage, HasManyAttached, HasOneAttached } from '../../src/index.ts'
import type { Database } from '../../src/adapters.ts'
import { sqlite } from '../../src/database/sqlite.ts'
import { switchable } from './storage.ts'

const folder = mkdtempSync(join(resolve('test'), '.nest-'))
after(() => rmSync(folder, { recursive: true, force: true }))
const installed = join(folder, 'node_modules/activestorage-delayed')
mkdirSync(installed, { recursive: true })
cpSync('package.json', join(installed, 'package.json'))
cpSync('test/nest', folder, { recursive: true })
writeFileSync(join(folder, 'package.json'), '{ "type": "commonjs" }')
const tsc = (...args: readonly string[]): void => {
  execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', ...args], {
    stdio: ['ignore', 2, 2],
  })
}
tsc('-p', 'tsconfig.build.json', '--outDir', join(installed, 'dist'))
tsc('-p', folder)

type Models = ReturnType<App['modelsWith']>
interface App {
  modelsWith(afterUpload: () => void): {
    User: { photo: HasOneAttached<unknown>; certificates: HasManyAttached<unknown> }
  }
  readonly AppModule: { with(storage: DynamicModule): DynamicModule }
}
const require = createRequire(join(folder, 'app.js'))
const { modelsWith, AppModule } = require('./dist/app.js') as App
const { createActiveStorage } =
  require('activestorage-delayed') as typeof import('../../src/index.ts')
export const { ActiveStorageModule } =
  require('activestorage-delayed/nestjs') as typeof import('../../src/nestjs/index.ts')

/** A storage of the app's models, on a service that can be held. */
export function nestStorage(t: TestContext, options: object = {}) {
  const database = sqlite(':memory:') as unknown as Database<never>
  const service = switchable()
  const attached = Promise.withResolvers<void>()
  const storage = createActiveStorage({
    database,
    services: { test: service },
    models: modelsWith(() => attached.resolve()),
    secretKeyBase: 'a secret of the tests',
    logger: false,
    ...options,
  } as never) as unknown as ActiveStorage<Models, never>
  t.after(() => storage.close())
  /** Reads the states of the files that were sent, in their order. */
  const states = async (): Promise<unknown[]> => {
    const { rows } = await database.executor.run(
      `select case when upload_token is null then state else 'linked' end as state from activestorage_delayed_files order by id`,
      [],
    )
    return rows.map(({ state }) => state)
  }
  return { storage, service, attached: attached.promise, states }
}

/** The app itself, listening. */
export async function nestApp(
  t: TestContext,
  module: DynamicModule,
  adapter: AbstractHttpAdapter = new ExpressAdapter(),
): Promise<{ app: INestApplication; url: string }> {
  const app = await NestFactory.create(AppModule.with(module), adapter, {
    logger: false,
    abortOnError: false,
  })
  await app.listen(0, '127.0.0.1')
  t.after(() => app.close())
  return { app, url: await app.getUrl() }
}

/** The app on a storage of its own. */
export async function startNestApp(
  t: TestContext,
  options: Omit<ActiveStorageModuleOptions, 'storage'> = {},
  adapter?: AbstractHttpAdapter,
) {
  const made = nestStorage(t)
  const { app, url } = await nestApp(
    t,
    ActiveStorageModule.forRoot({ storage: made.storage, migrate: true, ...options }),
    adapter,
  )
  return { ...made, app, url }
}
