/** Writes one entry to the app's log. `details` names the record, attachment, file or error. */
export type Log = (
  level: 'debug' | 'info' | 'warn' | 'error',
  message: string,
  details: object,
) => void
