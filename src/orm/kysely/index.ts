export { kysely, type KyselyOptions } from './database.ts'
