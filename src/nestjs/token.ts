import { Inject } from '@nestjs/common'

/** What the storage is injected by, and overridden by in tests (`overrideProvider`). */
export const ACTIVE_STORAGE: unique symbol = Symbol('activestorage-delayed')

/**
 * Injects the storage of `ActiveStorageModule`.
 *
 * @example
 * import { InjectActiveStorage } from 'activestorage-delayed/nestjs'
 *
 * class UsersService {
 *   readonly #storage: typeof storage
 *   constructor(injected: typeof storage) { // @InjectActiveStorage() injected
 *     this.#storage = injected
 *   }
 *   photoOf(id: string) {
 *     return this.#storage.record('User', id).photo.latest()
 *   }
 * }
 * InjectActiveStorage()(UsersService, undefined, 0)
 */
export function InjectActiveStorage(): ParameterDecorator & PropertyDecorator {
  return Inject(ACTIVE_STORAGE)
}
