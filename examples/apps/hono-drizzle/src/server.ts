import type { Server } from 'node:http'
import { serve } from '@hono/node-server'
import { app } from './app.ts'
import { createTables, db } from './database.ts'
import { storage } from './storage.ts'

createTables()
await storage.migrate()
const worker = storage.work()

const server = serve(
  {
    fetch: app.fetch,
    port: Number(process.env.PORT ?? 3000),
    // A large file on a slow line needs longer than Node's five minutes.
    serverOptions: { requestTimeout: 60 * 60 * 1000 },
  },
  ({ port }) => console.log(`http://localhost:${port}`),
) as Server

async function stop(): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve))
  setTimeout(() => server.closeAllConnections(), 25_000).unref()
  await Promise.all([closed, worker.stop({ timeout: '25s' })])
  await storage.close()
  db.$client.close()
}
for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, stop)
