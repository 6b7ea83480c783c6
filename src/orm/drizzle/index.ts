export { drizzle, type DrizzleTransaction } from './database.ts'
