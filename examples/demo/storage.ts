import { mkdirSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import {
  createActiveStorage,
  hasManyAttached,
  hasOneAttached,
  ServiceError,
} from '../../src/index.ts'
import type { Service } from '../../src/adapters.ts'
import { sqlite } from '../../src/database/sqlite.ts'
import { disk } from '../../src/services/disk.ts'

const folder = process.env['DEMO_DATA'] ?? 'demo-data'
mkdirSync(folder, { recursive: true })

/** Switches on the page: what a storage service does on a bad day. */
export const weather = { slow: false, failing: false }

const files = disk({ root: `${folder}/storage` })
const moody: Service = {
  ...files,
  async upload(key, body, options) {
    if (weather.failing)
      throw new ServiceError('The storage service answered 503 (switch "failing" on this page).')
    const slowly = async function* (): AsyncGenerator<Uint8Array> {
      for await (const chunk of body) {
        for (let at = 0; at < chunk.length; at += 65_536) {
          if (weather.slow)
            await delay(
              Math.max(60, Math.min(1, 65_536 / options.byteSize) * 6000),
              undefined,
              options.signal ? { signal: options.signal } : {},
            )
          yield chunk.subarray(at, at + 65_536)
        }
      }
      if (weather.slow) await delay(1500)
    }
    await files.upload(key, slowly(), options)
  },
}

export const userAttachments = {
  photo: hasOneAttached({ accept: ['image/*'], maxSize: '20 MB' }),
  certificates: hasManyAttached({ maxFiles: 30, maxSize: '2 GB' }),
}

export const storage = createActiveStorage({
  database: sqlite(`${folder}/app.db`),
  services: { local: moody },
  secretKeyBase: process.env['SECRET_KEY_BASE'] ?? 'only for this demo',
  retries: { attempts: 3, minDelay: '2s', maxDelay: '5s' },
  models: { User: userAttachments },
})
