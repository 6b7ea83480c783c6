import { optionsOf, type Models } from './attached/definitions.ts'
import { RESERVED } from './attached/record.ts'
import type { SlotDefinition } from './attached/scope.ts'
import type { ActiveStorageConfig } from './configuration.ts'
import { ConfigurationError } from './errors.ts'
import { listText } from './message.ts'
import { parseSize } from './units.ts'

export const wrong = (text: string): ConfigurationError =>
  new ConfigurationError(`createActiveStorage: ${text}`)

type ModelSettings = Pick<
  ActiveStorageConfig<Models, string, never, boolean>,
  'models' | 'services' | 'staging' | 'images'
>

/** The models' attachments with their defaults, checked against the services and the image processor there are. */
export function readModels(
  { models: given, services, staging, images }: ModelSettings,
  service: string,
): Map<string, Map<string, SlotDefinition>> {
  const { maxFiles } = staging ?? {}
  if (maxFiles !== undefined && !(Number.isInteger(maxFiles) && maxFiles > 0))
    throw wrong(`staging.maxFiles is ${String(maxFiles)}: give a whole number above 0.`)
  const models = new Map<string, Map<string, SlotDefinition>>()
  for (const [type, attachments] of Object.entries(given ?? {})) {
    const slots = new Map<string, SlotDefinition>()
    for (const [name, definition] of Object.entries(attachments)) {
      const options = optionsOf(definition)
      const where = `${type}.${name}`
      if (options === null)
        throw wrong(`${where} is not made by hasOneAttached or hasManyAttached.`)
      if (RESERVED.includes(name) || name.includes('.'))
        throw wrong(`${where}: '${name}' is a reserved name; choose another.`)
      if (options.service !== undefined && services[options.service] === undefined)
        throw wrong(
          `${where} goes to the service '${options.service}', which is not among ${listText(Object.keys(services))}.`,
        )
      if (options.variantInfo !== undefined && images === undefined)
        throw wrong(`${where} has variantInfo: pass images: sharp().`)
      const maxSize = options.maxSize ?? staging?.maxSize
      slots.set(name, {
        kind: definition.kind,
        service: options.service ?? service,
        keyPrefix: options.keyPrefix as SlotDefinition['keyPrefix'],
        useFilename: (options.useFilename ?? false) as SlotDefinition['useFilename'],
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
    throw wrong(
      'models is empty: define at least one, such as { User: { photo: hasOneAttached() } }.',
    )
  return models
}

/** Names of the services that attachments go to. */
export function servicesOf(
  models: ReadonlyMap<string, ReadonlyMap<string, SlotDefinition>>,
): string[] {
  const slots = [...models.values()].flatMap((attachments) => [...attachments.values()])
  return [...new Set(slots.map(({ service }) => service))]
}
