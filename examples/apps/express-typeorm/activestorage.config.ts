// For `npx activestorage-delayed status`, `work` and the others.
import { dataSource } from './src/data-source.ts'

export { storage } from './src/storage.ts'

await dataSource.initialize()
