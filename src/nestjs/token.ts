import { Inject } from '@nestjs/common'

/** What the storage is injected by, and overridden by in tests (`overrideProvider`). */
export const ACTIVE_STORAGE: unique symbol = Symbol('activestorage-delayed')

/**
 * Injects the storage that `ActiveStorageModule` was given.
 *
 * @example
 * import { InjectActiveStorage } from 'activestorage-delayed/nestjs'
 *
 * class UsersService {
 *   readonly storage!: typeof storage // @InjectActiveStorage(), here or on a parameter of the constructor
 * }
 * InjectActiveStorage()(UsersService.prototype, 'storage')
 */
export function InjectActiveStorage(): ParameterDecorator & PropertyDecorator {
  return Inject(ACTIVE_STORAGE)
}
