export { sequelize } from './database.ts'
export { withAttachments, type ModelWithAttachments } from './with-attachments.ts'
