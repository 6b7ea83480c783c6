import { channel, tracingChannel } from 'node:diagnostics_channel'

/**
 * What an APM can subscribe to. Tracing channels are named after Rails' notifications, such as
 * `tracingChannel('activestorage-delayed:service_upload')`; their message says which service and key, or which record,
 * attachment and file. `activestorage-delayed:superseded` is a plain channel: one message for each upload that ended
 * because of a newer one.
 */
const tracedOperations = [
  'service_upload',
  'service_streaming_download',
  'service_delete',
  'service_delete_prefixed',
  'service_exist',
  'service_compose',
  'service_copy',
  'service_url',
  'stage',
  'transform',
  'delayed_upload',
  'attach',
] as const
export type TracedOperation = (typeof tracedOperations)[number]

const tracingChannels = new Map(
  tracedOperations.map((name) => [name, tracingChannel<object>(`activestorage-delayed:${name}`)]),
)

/** Runs `run` as one operation that subscribers see begin and end. */
export function trace<T>(
  operation: TracedOperation,
  message: object,
  run: () => Promise<T>,
): Promise<T> {
  const found = tracingChannels.get(operation)
  return found === undefined ? run() : found.tracePromise(run, message)
}

const supersededChannel = channel('activestorage-delayed:superseded')

export function publishSuperseded(message: object): void {
  supersededChannel.publish(message)
}
