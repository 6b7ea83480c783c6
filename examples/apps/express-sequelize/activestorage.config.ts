// For `npx activestorage-delayed status`, `work` and the others.
export { storage } from './src/storage.ts'
