import { sql, type RawBuilder } from 'kysely'
import type { Dialect } from './database.ts'

/**
 * Builds the current time in epoch milliseconds, by the database's clock, because the clocks of
 * workers differ. On PostgreSQL it is the start of the statement, which an index can be searched
 * for; that of the transaction may be long past.
 */
export function now(dialect: Dialect): RawBuilder<number> {
  if (dialect === 'postgres')
    return sql<number>`(extract(epoch from statement_timestamp()) * 1000)::bigint`
  if (dialect === 'sqlite') return sql<number>`cast(unixepoch('subsec') * 1000 as integer)`
  return sql<number>`(timestampdiff(microsecond, '1970-01-01 00:00:00', utc_timestamp(6)) div 1000)`
}

/**
 * Builds the time `milliseconds` from now, in epoch milliseconds by the database's clock. A
 * negative number is in the past.
 */
export function nowPlus(dialect: Dialect, milliseconds: number): RawBuilder<number> {
  return sql<number>`(${now(dialect)} + ${sql.raw(String(Math.round(milliseconds)))})`
}

/** Builds the current time as Rails writes it: UTC, microseconds, no zone. */
export function railsNow(dialect: Dialect): RawBuilder<string> {
  if (dialect === 'postgres') return sql<string>`(clock_timestamp() at time zone 'utc')`
  if (dialect === 'sqlite') return sql<string>`(strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')`
  return sql<string>`utc_timestamp(6)`
}

/** Builds the time `milliseconds` ago as Rails writes it. */
export function railsAgo(dialect: Dialect, milliseconds: number): RawBuilder<string> {
  const seconds = sql.raw((milliseconds / 1000).toFixed(3))
  if (dialect === 'postgres')
    return sql<string>`(statement_timestamp() at time zone 'utc' - ${seconds} * interval '1 second')`
  if (dialect === 'sqlite')
    return sql<string>`(strftime('%Y-%m-%d %H:%M:%f', 'now', '-${seconds} seconds') || '999')`
  return sql<string>`(utc_timestamp(6) - interval ${seconds} second)`
}

/** Parses a time of Rails: UTC without a zone. */
export function parseRailsTime(text: string): Date {
  return new Date(`${text.replace(' ', 'T').replace(/(\.\d{3})\d*$/, '$1')}Z`)
}

/**
 * Builds a column as text, because drivers would round ids above 2^53 and shift times without a
 * zone.
 */
export function asText(dialect: Dialect, column: string): RawBuilder<string> {
  if (dialect === 'postgres') return sql<string>`${sql.ref(column)}::text`
  if (dialect === 'sqlite') return sql<string>`cast(${sql.ref(column)} as text)`
  return sql<string>`cast(${sql.ref(column)} as char)`
}

/**
 * Converts an id of Rails' tables to the value that is bound: a bigint, or text where the primary
 * keys are uuids.
 */
export function toRailsId(id: string): bigint | string {
  return /^\d+$/.test(id) ? BigInt(id) : id
}
