import { channel, tracingChannel } from 'node:diagnostics_channel'

/**
 * Operations that an APM can subscribe to. Each has a tracing channel, named after Rails'
 * notification, such as `tracingChannel('activestorage-delayed:service_upload')`. Its message names
 * the service and the key, or the record, the attachment and the file.
 * `activestorage-delayed:superseded` is a plain channel, with one message for each upload that a
 * newer one replaced.
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
/** The name of a traced operation. */
export type TracedOperation = (typeof tracedOperations)[number]

const tracingChannels = new Map(
  tracedOperations.map((name) => [name, tracingChannel<object>(`activestorage-delayed:${name}`)]),
)

/** Runs `run` as one operation; subscribers see its begin and its end. */
export function trace<T>(
  operation: TracedOperation,
  message: object,
  run: () => Promise<T>,
): Promise<T> {
  const found = tracingChannels.get(operation)
  return found === undefined ? run() : found.tracePromise(run, message)
}

const supersededChannel = channel('activestorage-delayed:superseded')

/** Publishes that a newer upload replaced one. */
export function publishSuperseded(message: object): void {
  supersededChannel.publish(message)
}
