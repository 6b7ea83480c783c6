import type { AddressInfo } from 'node:net'
import { app } from './app.ts'
import { database } from './database.ts'
import { storage } from './storage.ts'

await database.sync() // an app that is deployed has migrations
await storage.migrate()
const worker = storage.work()

const server = app.listen(Number(process.env.PORT ?? 3000), () => {
  console.log(`http://localhost:${(server.address() as AddressInfo).port}`)
})
// A large file on a slow line needs longer than Node's five minutes.
server.requestTimeout = 60 * 60 * 1000

async function stop(): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve))
  setTimeout(() => server.closeAllConnections(), 25_000).unref()
  await Promise.all([closed, worker.stop({ timeout: '25s' })])
  await storage.close()
  await database.close()
}
for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, stop)
