export { mikroOrm } from './database.ts'
export { withAttachments, type Attached } from './with-attachments.ts'
