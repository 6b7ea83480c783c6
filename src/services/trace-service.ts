import { trace } from '../diagnostics/tracing.ts'
import type { Service } from './service.ts'

/**
 * Wraps a service so that each call is published on the diagnostics channels, with the service's
 * name in the configuration.
 */
export function traceService(name: string, service: Service): Service {
  return {
    public: service.public === true,
    upload: (key, body, options) =>
      trace(
        'service_upload',
        { service: name, key, byteSize: options.byteSize, checksum: options.checksum },
        () => service.upload(key, body, options),
      ),
    download: (key, options) =>
      trace('service_streaming_download', { service: name, key, range: options?.range }, () =>
        service.download(key, options),
      ),
    delete: (key, options) =>
      trace('service_delete', { service: name, key }, () => service.delete(key, options)),
    exists: (key, options) =>
      trace('service_exist', { service: name, key }, () => service.exists(key, options)),
    url: (key, options) =>
      trace('service_url', { service: name, key }, () => service.url(key, options)),
    urlForDirectUpload: (key, options) =>
      trace('service_url', { service: name, key }, () => service.urlForDirectUpload(key, options)),
    ...traceOptionalCalls(name, service),
  }
}

/** Traces the members that a service need not have. */
function traceOptionalCalls(
  name: string,
  service: Service,
): Pick<Service, 'deletePrefixed' | 'compose' | 'copy'> {
  const deletePrefixed = service.deletePrefixed?.bind(service)
  const compose = service.compose?.bind(service)
  const copy = service.copy?.bind(service)
  return {
    ...(deletePrefixed && {
      deletePrefixed: (prefix, options) =>
        trace('service_delete_prefixed', { service: name, prefix }, () =>
          deletePrefixed(prefix, options),
        ),
    }),
    ...(compose && {
      compose: (sources, key, options) =>
        trace('service_compose', { service: name, key, sources }, () =>
          compose(sources, key, options),
        ),
    }),
    ...(copy && {
      copy: (source, key, options) =>
        trace('service_copy', { service: name, key, source }, () => copy(source, key, options)),
    }),
  }
}
