import { db, storage } from './lib/storage.ts'

await storage.migrate()
storage.work()

// Left to the app by NEXT_MANUAL_SIG_HANDLE: what is being uploaded is finished before the process ends.
async function stop(): Promise<void> {
  await storage.close()
  await db.$disconnect()
  process.exit()
}
for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, stop)
