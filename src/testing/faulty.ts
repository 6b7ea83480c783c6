import { ServiceError } from '../errors/errors.ts'
import type { Service } from '../services/service.ts'

/** A service that fails, hangs, corrupts or slows down when a test asks for it. */
export interface FaultyService extends Service {
  /** Makes the next `times` uploads fail, with `error` or a retryable ServiceError. */
  fail(times: number, error?: Error): void
  /** Makes the next `times` uploads change one byte, as a broken network does. */
  corrupt(times: number): void
  /** Makes every upload wait until the returned function is called. */
  hang(): () => void
  /** Makes uploads wait this many milliseconds before each piece. 0: no wait. */
  slowDown(milliseconds: number): void
  /**
   * Calls `run` with the object's key when an upload begins ('upload'), when its object is stored
   * ('uploaded'), or before a deletion ('delete').
   */
  at(point: 'upload' | 'uploaded' | 'delete', run: (key: string) => void | Promise<void>): void
}

/**
 * Wraps a service so that a test can make it fail, hang, corrupt bytes or slow down.
 *
 * @example
 * const service = faulty(memory())
 * service.fail(1)
 * await storage.drain() // the first attempt fails, the next one is due later
 */
export function faulty(service: Service): FaultyService {
  let failures = 0
  let failure: Error | undefined
  let corruptions = 0
  let hanging: Promise<void> | undefined
  let delay = 0
  const points = new Map<string, (key: string) => void | Promise<void>>()
  const bytes = async function* (
    body: AsyncIterable<Uint8Array>,
    corrupted: boolean,
  ): AsyncGenerator<Uint8Array> {
    let first = corrupted
    for await (const piece of body) {
      if (delay > 0) await new Promise((resolve) => setTimeout(resolve, delay))
      if (!first) yield piece
      else yield Uint8Array.from(piece, (byte, index) => (index === 0 ? byte ^ 1 : byte))
      first = false
    }
  }
  return {
    public: service.public === true,
    download: (key, options) => service.download(key, options),
    exists: (key, options) => service.exists(key, options),
    url: (key, options) => service.url(key, options),
    urlForDirectUpload: (key, options) => service.urlForDirectUpload(key, options),
    ...bindOptionalCalls(service),
    async upload(key, body, options) {
      await points.get('upload')?.(key)
      if (hanging !== undefined) await Promise.race([hanging, rejectOnAbort(options.signal)])
      options.signal?.throwIfAborted()
      if (failures > 0) {
        failures -= 1
        throw failure ?? new ServiceError('The service fails because the test asked it to.')
      }
      corruptions -= 1
      await service.upload(key, bytes(body, corruptions >= 0), options)
      await points.get('uploaded')?.(key)
    },
    async delete(key, options) {
      await points.get('delete')?.(key)
      await service.delete(key, options)
    },
    fail(times, error) {
      failures = times
      failure = error
    },
    corrupt(times) {
      corruptions = times
    },
    hang() {
      const { promise, resolve } = Promise.withResolvers<void>()
      hanging = promise
      return () => {
        hanging = undefined
        resolve()
      }
    },
    slowDown(milliseconds) {
      delay = milliseconds
    },
    at(point, run) {
      points.set(point, run)
    },
  }
}

/** Passes on the members that a service need not have. */
function bindOptionalCalls(service: Service): Pick<Service, 'deletePrefixed' | 'compose' | 'copy'> {
  const deletePrefixed = service.deletePrefixed?.bind(service)
  const compose = service.compose?.bind(service)
  const copy = service.copy?.bind(service)
  return {
    ...(deletePrefixed && { deletePrefixed }),
    ...(compose && { compose }),
    ...(copy && { copy }),
  }
}

/** Rejects when the signal aborts, as a real transfer does. */
function rejectOnAbort(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal?.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}
