export { lucid, type LucidOptions } from './database.ts'
export { withAttachments } from './with-attachments.ts'
