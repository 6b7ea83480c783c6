import { ConfigurationError } from '../errors/errors.ts'
import type { Dialect } from './database.ts'
import type { Parameter } from './executor.ts'

/**
 * Converts a value of an app or of a queue engine to one that every driver of the dialect accepts.
 *
 * Dates are sent in UTC, plain objects as JSON, bytes as a Buffer, undefined as null. Arrays are
 * arrays on PostgreSQL, so that a list for a json column must be passed as JSON text; elsewhere
 * they are JSON. Booleans are 0 and 1 except on PostgreSQL. Throws ConfigurationError for an
 * invalid Date, a function, a symbol, and a value that JSON cannot hold.
 */
export function toParameter(value: unknown, dialect: Dialect): Parameter {
  switch (typeof value) {
    case 'undefined':
      return null
    case 'string':
    case 'number':
    case 'bigint':
      return value
    case 'boolean':
      return dialect === 'postgres' ? value : Number(value)
    case 'object':
      return value === null ? null : fromObject(value, dialect)
    default:
      throw new ConfigurationError(`A ${typeof value} cannot be a parameter of a statement.`)
  }
}

function fromObject(value: object, dialect: Dialect): Parameter {
  const bytes = toBytes(value)
  if (bytes !== null) return bytes
  if (value instanceof Date) return formatDate(value, dialect)
  return Array.isArray(value) && dialect === 'postgres' ? formatArray(value) : formatJson(value)
}

function toBytes(value: object): Buffer | null {
  if (Buffer.isBuffer(value)) return value
  if (ArrayBuffer.isView(value))
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  return value instanceof ArrayBuffer ? Buffer.from(value) : null
}

/**
 * Formats a time in UTC. MySQL accepts no zone in a time; on SQLite the form sorts together with
 * that of its own functions.
 */
function formatDate(date: Date, dialect: Dialect): string {
  if (Number.isNaN(date.getTime()))
    throw new ConfigurationError('An invalid Date cannot be a parameter of a statement.')
  const text = date.toISOString()
  return dialect === 'postgres' ? text : text.replace('T', ' ').replace('Z', '')
}

function formatJson(value: object): string {
  try {
    return JSON.stringify(value)
  } catch (cause) {
    throw new ConfigurationError(
      'A parameter of a statement cannot be written as JSON: it has a bigint or refers to itself.',
      { cause },
    )
  }
}

/** Formats a list as PostgreSQL's text of an array, nested like the list. */
function formatArray(values: readonly unknown[]): string {
  const elements = values.map((value) => {
    if (Array.isArray(value)) return formatArray(value)
    const element = toParameter(value, 'postgres')
    if (element === null) return 'NULL'
    return quoteElement(
      Buffer.isBuffer(element) ? `\\x${element.toString('hex')}` : String(element),
    )
  })
  return `{${elements.join(',')}}`
}

const quoteElement = (text: string): string => `"${text.replace(/["\\]/g, String.raw`\$&`)}"`
