import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { createActiveStorage, hasManyAttached, hasOneAttached, ServiceError } from '../src/index.ts'
import type { Service } from '../src/adapters.ts'
import { postgres } from '../src/database/postgres.ts'
import { disk } from '../src/services/disk.ts'

/** A folder that fails as long as the file `outage` stands beside it. */
function fragile(folder: string): Service {
  const inner = disk({ root: join(folder, 'objects') })
  const up = (): void => {
    if (existsSync(join(folder, 'outage'))) throw new ServiceError('The service is down.')
  }
  return {
    ...inner,
    async upload(key, body, options) {
      up()
      await inner.upload(key, body, options)
      up()
    },
    async delete(key, options) {
      up()
      await inner.delete(key, options)
    },
  }
}

/** The storage of all processes. Hooks write down what they are told in the app's own table. */
export function openStorage(url: string, folder: string) {
  const database = postgres({ url, max: 8 })
  const told = async (filename: string): Promise<void> => {
    await database.executor.run('insert into told (filename) values ($1)', [filename])
  }
  const hooks = {
    afterUpload: (_record: unknown, file: { readonly filename: string }) => told(file.filename),
  }
  const storage = createActiveStorage({
    database,
    services: { local: fragile(folder) },
    secretKeyBase: 'a secret of the soak',
    // So short that what depends on it for longer shows.
    staging: { expiresIn: '20s' },
    retries: { attempts: 10_000, minDelay: '200ms', maxDelay: '2s' },
    logger: false,
    models: { User: { photo: hasOneAttached(hooks), documents: hasManyAttached(hooks) } },
  })
  return { storage, database }
}
