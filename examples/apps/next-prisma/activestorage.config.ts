export { storage } from './lib/storage.ts'
