import type { AttachmentDefinition } from '../attached/context.ts'
import { findOptions, type Models } from '../attached/definitions.ts'
import { RESERVED_RECORD_NAMES } from '../attached/record.ts'
import type { ActiveStorageConfig } from './configuration.ts'
import { ConfigurationError } from '../errors/errors.ts'
import { formatList } from '../errors/message.ts'
import { parseSize } from '../options/units.ts'

export const configurationError = (text: string): ConfigurationError =>
  new ConfigurationError(`createActiveStorage: ${text}`)

type ModelOptions = Pick<
  ActiveStorageConfig<Models, string, never, boolean>,
  'models' | 'services' | 'staging' | 'images'
>

/** The models' attachments with their defaults, checked against the services and the image processor there are. */
export function readModels(
  { models: given, services, staging, images }: ModelOptions,
  service: string,
): Map<string, Map<string, AttachmentDefinition>> {
  const { maxFiles } = staging ?? {}
  if (maxFiles !== undefined && !(Number.isInteger(maxFiles) && maxFiles > 0))
    throw configurationError(
      `staging.maxFiles is ${String(maxFiles)}: give a whole number above 0.`,
    )
  const models = new Map<string, Map<string, AttachmentDefinition>>()
  for (const [type, attachments] of Object.entries(given ?? {})) {
    const slots = new Map<string, AttachmentDefinition>()
    for (const [name, definition] of Object.entries(attachments)) {
      const options = findOptions(definition)
      const where = `${type}.${name}`
      if (options === null)
        throw configurationError(`${where} is not made by hasOneAttached or hasManyAttached.`)
      if (RESERVED_RECORD_NAMES.includes(name) || name.includes('.'))
        throw configurationError(`${where}: '${name}' is a reserved name; choose another.`)
      if (options.service !== undefined && services[options.service] === undefined)
        throw configurationError(
          `${where} goes to the service '${options.service}', which is not among ${formatList(Object.keys(services))}.`,
        )
      if (options.variantInfo !== undefined && images === undefined)
        throw configurationError(`${where} has variantInfo: pass images: sharp().`)
      const maxSize = options.maxSize ?? staging?.maxSize
      slots.set(name, {
        kind: definition.kind,
        service: options.service ?? service,
        keyPrefix: options.keyPrefix as AttachmentDefinition['keyPrefix'],
        useFilename: (options.useFilename ?? false) as AttachmentDefinition['useFilename'],
        variantInfo: options.variantInfo,
        maxFiles: options.maxFiles ?? maxFiles,
        required: options.required ?? false,
        limits: {
          maxSize: maxSize === undefined ? undefined : parseSize(maxSize, `maxSize of ${where}`),
          accept: options.accept,
        },
        hooks: options,
      })
    }
    models.set(type, slots)
  }
  if (models.size === 0)
    throw configurationError(
      'models is empty: define at least one, such as { User: { photo: hasOneAttached() } }.',
    )
  return models
}

/** Names of the services that attachments go to. */
export function listUsedServices(
  models: ReadonlyMap<string, ReadonlyMap<string, AttachmentDefinition>>,
): string[] {
  const slots = [...models.values()].flatMap((attachments) => [...attachments.values()])
  return [...new Set(slots.map(({ service }) => service))]
}
