export type { WithAttachments } from '../with-attachments.ts'
export { lucid, type LucidOptions } from './database.ts'
export { HasAttachments, withAttachments } from './with-attachments.ts'
