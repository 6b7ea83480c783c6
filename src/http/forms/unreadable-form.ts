import { InvalidInputError } from '../../errors/errors.ts'

/** For a form that breaks a rule which its visitor cannot know. */
export function unreadableForm(message: string): InvalidInputError {
  return new InvalidInputError(message, {
    publicMessage: 'The form could not be read. Send it again.',
  })
}
