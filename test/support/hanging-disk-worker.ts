// A process whose disk hangs and recovers; it prints the effects.
import { rmSync, writeFileSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { messageOf } from '../../src/errors/message.ts'
import { storage } from './hanging-disk-storage.ts'

const hangsWhile = process.env['HANG_WHILE'] ?? ''
const text = (content: string): File => new File([content], `${content}.txt`)
const refusal = async (): Promise<{ readonly message: string; readonly took: number }> => {
  const started = performance.now()
  const message = await storage
    .record('User', 9)
    .hung.attach([text('refused')])
    .then(String, messageOf)
  return { message, took: performance.now() - started }
}

await storage.migrate()
for (let id = 1; id <= 5; id += 1)
  await storage.record('User', id).hung.attachLater([text(`hung ${id}`)])
for (let id = 1; id <= 3; id += 1)
  await storage.record('User', id).fine.attachLater([text(`fine ${id}`)])
writeFileSync(hangsWhile, '')
const during = await storage.drain({ concurrency: 5, timeout: '4s' })
const attempts = (await storage.delayedUploads.list()).map((upload) => upload.attempts)
// Until then calls are only late.
while (!(await refusal()).message.includes('do not return')) continue
const refused = await refusal()
// Node needs a free thread for each file operation.
const others = await stat('/')
rmSync(hangsWhile)
for (let uploaded = 0; uploaded < 5;)
  uploaded += (await storage.drain({ throwOnError: false })).uploaded
const names = await Promise.all(
  [1, 2, 3, 4, 5].map(async (id) =>
    (await storage.record('User', id).hung.attachments()).map(({ filename }) => filename),
  ),
)
console.log(
  JSON.stringify({ during, attempts, refused, isThreadFree: others.isDirectory(), names }),
)
await storage.close()
