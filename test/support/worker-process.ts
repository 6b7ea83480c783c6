// A worker in a separate process, for tests of crashes and lost connections. It prints its
// progress.
import { setTimeout as delay } from 'node:timers/promises'
import {
  createActiveStorage,
  hasManyAttached,
  hasOneAttached,
  ServiceError,
} from '../../src/index.ts'
import type { Database, Service } from '../../src/adapters.ts'
import { disk } from '../../src/services/disk.ts'
import { openUrl } from './servers.ts'

const [mode = '', url = '', root = ''] = process.argv.slice(2)
const say = (text: string): void => void process.stdout.write(`${text}\n`)
const die = (): void => void process.kill(process.pid, 'SIGKILL')

const files = disk({ root })
const service: Service = {
  ...files,
  async upload(key, body, options) {
    if (mode === 'part fails' && options.byteSize === 1)
      throw Object.assign(new ServiceError('refused for good'), { retryable: false })
    if (mode !== 'slow') return files.upload(key, body, options)
    const slow = async function* (): AsyncGenerator<Uint8Array> {
      for await (const chunk of body) {
        yield chunk
        say('sending')
        await delay(100)
      }
    }
    return files.upload(key, slow(), options)
  },
}

/** true: the database has stopped responding. */
let down = false
function losable(inner: Database<never>): Database<never> {
  const answer = async <T>(run: () => Promise<T>): Promise<T> => {
    if (down) throw new Error('The database is gone.')
    return run()
  }
  return {
    ...inner,
    executor: { run: (sql, parameters) => answer(() => inner.executor.run(sql, parameters)) },
    transaction: (run) => answer(() => inner.transaction(run)),
  }
}

const killing = (): void => {
  say('hook')
  die()
}
const afterUpload = mode === 'hook' || mode === 'part fails' ? killing : () => undefined
const storage = createActiveStorage({
  database: losable(openUrl(url)),
  services: { test: service },
  secretKeyBase: 'a secret of the tests',
  logger: false,
  retries: { attempts: 3, minDelay: '1ms', maxDelay: '2ms' },
  images: {
    name: 'deadly',
    transform() {
      say('transform')
      die()
      return new Promise(() => undefined)
    },
  },
  findRecord: {
    User(id) {
      down = mode === 'lost database'
      return { id }
    },
  },
  models: {
    User: {
      photo: hasOneAttached({ afterUpload }),
      docs: hasManyAttached({ afterUpload }),
      avatar: hasOneAttached({ variantInfo: { resizeToLimit: [10, 10] } }),
    },
  },
})

if (mode === 'slow') {
  const worker = storage.work()
  process.once('SIGTERM', () => {
    void worker
      .stop({ timeout: '50ms' })
      .then(() => storage.close())
      .then(() => say('stopped'))
  })
} else {
  await storage
    .drain()
    .catch((error: unknown) =>
      say(`drain: ${error instanceof Error ? error.message : String(error)}`),
    )
  await storage.close()
}
