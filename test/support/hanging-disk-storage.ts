// A storage on two disks, of which one hangs at the call that HANG_AT names.
import { join } from 'node:path'
import { createActiveStorage, hasManyAttached } from '../../src/index.ts'
import { sqlite } from '../../src/database/sqlite.ts'
import { disk } from '../../src/services/disk.ts'

const folder = process.env['HANG_FOLDER'] ?? ''

export const storage = createActiveStorage({
  database: sqlite(join(folder, 'app.db')),
  services: {
    hung: disk({ root: join(folder, process.env['HANG_IN'] ?? '') }),
    fine: disk({ root: join(folder, 'fine') }),
  },
  service: 'fine',
  models: { User: { hung: hasManyAttached({ service: 'hung' }), fine: hasManyAttached() } },
  secretKeyBase: 'a secret of the tests',
  logger: false,
  retries: { minDelay: '1ms', maxDelay: '1ms' },
  serviceTimeouts: { progress: { within: '300ms' }, call: '300ms' },
})
