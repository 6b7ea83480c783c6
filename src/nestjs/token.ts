import { Inject } from '@nestjs/common'

/** Injection token of the storage. Tests override the storage by it (`overrideProvider`). */
export const ACTIVE_STORAGE: unique symbol = Symbol('activestorage-delayed')

/**
 * Injects the storage of `ActiveStorageModule`.
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
