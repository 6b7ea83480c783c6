import { defineConfig } from 'prisma/config'
import { provider, url } from './lib/database.ts'

const schema = provider === 'sqlite' ? '' : 'public.'

export default defineConfig({
  schema: `prisma/${provider}/schema.prisma`,
  migrations: { path: `prisma/${provider}/migrations` },
  datasource: { url },
  // The library makes its tables by itself: Prisma would drop what its schema does not have.
  experimental: { externalTables: true },
  tables: {
    external: [
      `${schema}active_storage_attachments`,
      `${schema}active_storage_blobs`,
      `${schema}active_storage_variant_records`,
      `${schema}activestorage_delayed_chunks`,
      `${schema}activestorage_delayed_files`,
      `${schema}activestorage_delayed_jobs`,
      `${schema}activestorage_delayed_locks`,
      `${schema}activestorage_delayed_uploads`,
      `${schema}activestorage_delayed_workers`,
    ],
  },
})
