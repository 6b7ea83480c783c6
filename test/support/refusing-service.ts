import { ServiceError } from '../../src/index.ts'
import type { Service } from '../../src/adapters.ts'
import type { App } from './races.ts'

/**
 * The app's service, which refuses the file with the text 'bad' while `down` is true: for good, or
 * to be tried again.
 */
export function createRefusingService(
  app: App,
  { retryable }: { readonly retryable: boolean },
): App['service'] & { down: boolean } {
  const service = {
    ...app.service,
    down: true,
    async upload(...[key, body, options]: Parameters<Service['upload']>) {
      if (service.down && options.byteSize === 'bad'.length)
        throw Object.assign(new ServiceError('it is refused'), { retryable })
      await app.service.upload(key, body, options)
    },
  }
  return service
}
