import { InvalidInputError } from '../../errors/errors.ts'

/** Creates the error for a form that breaks a rule of its format, which a visitor cannot mend. */
export function unreadableForm(message: string): InvalidInputError {
  return new InvalidInputError(message, {
    publicMessage: 'The form could not be read. Send it again.',
  })
}
