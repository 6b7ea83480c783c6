import { ConfigurationError } from '../errors/errors.ts'

/** Creates an error about an option of `createActiveStorage`. */
export const configurationError = (text: string): ConfigurationError =>
  new ConfigurationError(`createActiveStorage: ${text}`)
