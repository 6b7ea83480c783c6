/** From the server's start to its end. */
export default class StorageProvider {
  async start(): Promise<void> {
    const { storage } = await import('#services/storage')
    await storage.migrate()
    storage.work()
  }

  async shutdown(): Promise<void> {
    const { storage } = await import('#services/storage')
    await storage.close()
  }
}
