export { objection } from './database.ts'
export { withAttachments } from './with-attachments.ts'
