export { knex } from './database.ts'
