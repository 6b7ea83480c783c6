export { mikroOrm } from './database.ts'
export { HasAttachments } from './has-attachments.ts'
export { withAttachments, type Attached } from './with-attachments.ts'
