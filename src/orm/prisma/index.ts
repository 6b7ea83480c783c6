export { prisma, type PrismaOptions } from './database.ts'
export { withAttachments, type WithAttachmentsOptions } from './with-attachments.ts'
export type { PrismaLike, PrismaQueryable, TransactionOf } from './client.ts'
export type { FilesOf, PrismaAttachments } from './types.ts'
