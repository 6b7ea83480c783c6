import { ServiceError } from '../errors/errors.ts'
import type { Service } from '../services/service.ts'

/** What a service does on a bad day, on demand. */
export interface FaultyService extends Service {
  /** The next `times` uploads fail; with a retryable ServiceError unless another error is given. */
  fail(times: number, error?: Error): void
  /** The next `times` uploads change a byte on the way, as a broken network does. */
  corrupt(times: number): void
  /** Every upload waits until the returned function is called. */
  hang(): () => void
  /** Milliseconds before each piece of an upload; 0: as fast as it is. */
  slowDown(milliseconds: number): void
  /** Called when an upload begins, when its object is stored, and before a deletion: the place to kill a process. */
  at(point: 'upload' | 'uploaded' | 'delete', run: (key: string) => void | Promise<void>): void
}

/**
 * Wraps a service so that a test can make it fail, hang, corrupt or slow down.
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
    ...service,
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

/** Rejects when the signal aborts, as a real transfer does. */
function rejectOnAbort(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  })
}
