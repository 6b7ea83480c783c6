import { formatList } from '../errors/message.ts'
import { limitService } from '../services/limit-service.ts'
import type { Service } from '../services/service.ts'
import { readTimeouts, type ServiceTimeouts } from '../services/timeouts.ts'
import { traceService } from '../services/trace-service.ts'
import { configurationError } from './configuration-error.ts'

/** Required members of a service. */
const serviceMethods: readonly (keyof Service)[] = [
  'upload',
  'download',
  'delete',
  'exists',
  'url',
  'urlForDirectUpload',
]

interface ServiceOptions {
  readonly services: Readonly<Record<string, Service>>
  readonly service?: string
  readonly serviceTimeouts?: ServiceTimeouts
}

/** Wraps the services with time limits and tracing. */
export function readServices({
  services,
  serviceTimeouts,
}: ServiceOptions): Readonly<Record<string, Service>> {
  const limits = readTimeouts(serviceTimeouts)
  return Object.fromEntries(
    Object.entries(services).map(([name, service]) => [
      name,
      traceService(name, limitService(name, service, limits)),
    ]),
  )
}

/**
 * Reads the name of the service that new files go to. Throws ConfigurationError if it is missing or
 * unclear.
 */
export function readDefaultService({ services, service }: ServiceOptions): string {
  if (Array.isArray(services))
    throw configurationError(
      'services is a list: give an object by name, such as { local: disk({ root }) }. Each blob stores the name.',
    )
  const names = Object.keys(services ?? {})
  const only = service ?? (names.length === 1 ? names[0] : undefined)
  if (names.length === 0)
    throw configurationError(
      'services is empty: configure at least one, such as { local: disk({ root }) }.',
    )
  for (const name of names) {
    const missing = serviceMethods.filter(
      (method) => typeof services[name]?.[method] !== 'function',
    )
    if (missing.length > 0)
      throw configurationError(
        `services.${name} is not a service: it lacks ${formatList(missing)}. Pass one such as disk({ root }).`,
      )
  }
  if (only === undefined)
    throw configurationError(
      `there are several services (${formatList(names)}): set service to the one that new files go to.`,
    )
  if (!names.includes(only))
    throw configurationError(`service is '${only}', which is not among ${formatList(names)}.`)
  return only
}
