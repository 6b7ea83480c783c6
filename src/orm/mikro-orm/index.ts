export { mikroOrm } from './database.ts'
export { HasAttachments, withAttachments } from './with-attachments.ts'
export type { WithAttachments } from './types.ts'
