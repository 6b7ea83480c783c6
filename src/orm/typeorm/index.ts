export { typeorm } from './database.ts'
export { HasAttachments, withAttachments } from './with-attachments.ts'
export type { WithAttachments } from '../with-attachments.ts'
