import { trace } from '../diagnostics/tracing.ts'
import type { Service } from './service.ts'

/** A service whose calls are told on the diagnostics channels, with the name it is configured under. */
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
    deletePrefixed: (prefix, options) =>
      trace('service_delete_prefixed', { service: name, prefix }, () =>
        service.deletePrefixed(prefix, options),
      ),
    exists: (key, options) =>
      trace('service_exist', { service: name, key }, () => service.exists(key, options)),
    compose: (sources, key, options) =>
      trace('service_compose', { service: name, key, sources }, () =>
        service.compose(sources, key, options),
      ),
    copy: (source, key, options) =>
      trace('service_copy', { service: name, key, source }, () =>
        service.copy(source, key, options),
      ),
    url: (key, options) =>
      trace('service_url', { service: name, key }, () => service.url(key, options)),
    urlForDirectUpload: (key, options) =>
      trace('service_url', { service: name, key }, () => service.urlForDirectUpload(key, options)),
  }
}
