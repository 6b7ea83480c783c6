// One process of the soak: `web` submits, purges, gives up and forgets files; `worker` carries
// them.
import { createHash, randomBytes, randomInt, randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { openStorage } from './storage.ts'

const [role = '', url = '', folder = ''] = process.argv.slice(2)
const USERS = 100
const { storage } = openStorage(url, folder)
setInterval(() => process.send?.({ rss: process.memoryUsage.rss() }), 1000).unref()
process.once('disconnect', () => process.exit())

let stopping = false
process.once('SIGTERM', () => {
  stopping = true
  if (role === 'worker') void worker?.stop({ timeout: '5s' }).then(() => process.exit())
})
const worker = role === 'worker' ? storage.work({ concurrency: 4 }) : undefined
if (role === 'web') await Promise.all(Array.from({ length: 4 }, () => visit()))
if (role === 'web') process.exit()

/**
 * Visitors, one after the other. What fails is as the database says: its rows are the truth that is
 * checked at the end.
 */
async function visit(): Promise<void> {
  while (!stopping) {
    await act().then(
      () => process.send?.({ done: true }),
      (error: unknown) =>
        process.send?.({ failed: String((error as { code?: unknown }).code ?? error) }),
    )
    await delay(randomInt(20, 120))
  }
}

async function act(): Promise<void> {
  const user = randomInt(1, USERS + 1)
  const chance = randomInt(100)
  if (chance < 5) {
    await storage.stage(randomFile().file)
    return
  }
  await storage.transaction(async (client) => {
    const { photo, documents } = storage.record('User', user, { transaction: client })
    const note = async (name: string, filename: string | null, md5: string | null): Promise<void> =>
      void (await client.query(
        'insert into submissions (user_id, name, filename, md5) values ($1, $2, $3, $4)',
        [user, name, filename, md5],
      ))
    if (chance < 50) {
      const { file, md5 } = randomFile()
      await photo.attachLater(file)
      await note('photo', file.filename, md5)
    } else if (chance < 90) {
      const files = Array.from({ length: randomInt(1, 4) }, randomFile)
      await documents.attachLater(files.map(({ file }) => file))
      for (const { file, md5 } of files) await note('documents', file.filename, md5)
    } else {
      await photo.purge()
      await note('photo', null, null)
    }
    if (randomInt(100) < 10)
      throw Object.assign(new Error('The visitor thinks better of it.'), { code: 'ROLLED_BACK' })
  })
}

/** Mostly small. */
function randomFile(): { file: { io: Buffer; filename: string }; md5: string } {
  const io = randomBytes(randomInt(10) === 0 ? randomInt(3_000_000) : randomInt(150_000))
  return {
    file: { io, filename: `${randomUUID()}.bin` },
    md5: createHash('md5').update(io).digest('base64'),
  }
}
