import mime from 'mime'
import type { ErrorCode, ErrorDetails } from './errors.ts'

// Texts for visitors, in plain sentences: the file, the limit, what to do.

/** The message where visitors can do nothing. */
export const GENERIC_MESSAGE = 'Something went wrong on our side. Try again later.'

/** The message for a request that a page did not send as it should. */
export const UNREADABLE_MESSAGE = 'The form cannot be read. Reload the page and try again.'

const MAX_FILENAME_CHARACTERS = 60

/** Formats a file's name; a long name loses its middle. */
export function formatFile({ filename }: ErrorDetails): string {
  if (filename === undefined || filename === '') return 'The file'
  const characters = Array.from(filename)
  return characters.length <= MAX_FILENAME_CHARACTERS
    ? filename
    : `${characters.slice(0, 40).join('')}…${characters.slice(-15).join('')}`
}

/** Formats a size for people: "20 MB". 1024-based like the options, and rounded down. */
export function formatSize(bytes: number): string {
  const units = ['bytes', 'KB', 'MB', 'GB'] as const
  let value = bytes
  let unit = 0
  for (; value >= 1024 && unit < units.length - 1; unit += 1) value /= 1024
  return bytes === 1 ? '1 byte' : `${Math.floor(value * 10) / 10} ${units[unit] ?? ''}`
}

/** Turns an attachment's name into words: "coverImage" becomes "cover image". */
const toWords = (attachment: string): string =>
  attachment
    .replaceAll(/([a-z\d])([A-Z])/g, '$1 $2')
    .replaceAll('_', ' ')
    .toLowerCase()

const plurals: Readonly<Record<string, string>> = {
  image: 'images',
  video: 'videos',
  audio: 'audio files',
  text: 'text files',
  font: 'fonts',
}
/** Common extensions of types whose first extension few people know. */
const usualExtensions: Readonly<Record<string, string>> = { mpga: 'mp3', qt: 'mov', oga: 'ogg' }

/** Formats content types for people: "images, PDF". */
export function formatTypes(accept: readonly string[]): string {
  return [...new Set(accept.map(formatType))].join(', ')
}

function formatType(type: string): string {
  const [kind = '', form] = type.toLowerCase().split('/')
  if (form === '*') return plurals[kind] ?? 'files'
  const extension = mime.getExtension(type) ?? undefined
  return extension === undefined ? type : (usualExtensions[extension] ?? extension).toUpperCase()
}

/** The message of each kind of error that has no more specific one. */
const publicMessages: Readonly<Record<ErrorCode, (file: string, details: ErrorDetails) => string>> =
  {
    FILE_NOT_FOUND: (file) => `${file} is not there any more. Choose it again.`,
    INTEGRITY: (file) => `${file} did not arrive whole. Send it again.`,
    INVALID_SIGNATURE: () =>
      'This page is too old, or a file of it is gone. Reload the page and choose the file again.',
    INVARIABLE: (file) =>
      `${file} cannot be read as an image. Choose another one, such as a JPEG or PNG.`,
    FILE_TOO_LARGE: (file) => `${file} is too large. Choose a smaller one.`,
    FILE_TYPE_NOT_ACCEPTED: (file) =>
      `${file} is of a type that is not accepted here. Choose one of another type.`,
    TOO_MANY_FILES: () => 'These are too many files. Choose fewer.',
    ATTACHMENT_REQUIRED: (_file, { attachment }) =>
      attachment === undefined
        ? 'A file is missing. Choose one.'
        : `The ${toWords(attachment)} is missing. Choose a file.`,
    ATTACH_PENDING: (file) =>
      `What you entered is saved. ${file} is still being stored: you need not send it again.`,
    STAGED_FILE_EXPIRED: (file) => `${file} waited too long to be saved. Choose it again.`,
    STAGED_FILE_ALREADY_USED: (file) =>
      `${file} was saved already. Choose it again to use it once more.`,
    STAGING_OFFSET: (file) => `${file} did not arrive whole. Send it again.`,
    UNKNOWN_ATTACHMENT: () => GENERIC_MESSAGE,
    RECORD_NOT_FOUND: () => 'What the file belongs to is not there.',
    // Mistakes of the app. Those that visitors can correct have a message of their own.
    INVALID_INPUT: () => GENERIC_MESSAGE,
    FORM_LIMIT: () => 'The form is too large. Send less at once.',
    CONFIGURATION: () => GENERIC_MESSAGE,
    SERVICE_UNAVAILABLE: () => 'The storage of files does not answer. Try again in a few minutes.',
    SERVICE: (file) => `${file} could not be stored. Try again later.`,
  }

/** Returns the message for visitors of a kind of error. */
export const toPublicMessage = (code: ErrorCode, details: ErrorDetails): string =>
  publicMessages[code](formatFile(details), details)
