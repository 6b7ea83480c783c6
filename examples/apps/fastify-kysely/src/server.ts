import type { AddressInfo } from 'node:net'
import { app } from './app.ts'
import { createTables, db } from './database.ts'
import { storage } from './storage.ts'

await createTables()
await storage.migrate()
const worker = storage.work()

app.addHook('preClose', async () => {
  setTimeout(() => app.server.closeAllConnections(), 25_000).unref()
  await worker.stop({ timeout: '25s' })
})
// When all requests have been answered.
app.addHook('onClose', async () => {
  await storage.close()
  await db.destroy()
})
for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => app.close())

await app.listen({ port: Number(process.env.PORT ?? 3000) })
console.log(`http://localhost:${(app.server.address() as AddressInfo).port}`)
