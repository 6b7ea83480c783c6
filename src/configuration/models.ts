import { findOptions } from '../attached/definitions.ts'
import { RESERVED_RECORD_NAMES } from '../attached/record.ts'
import type { AttachmentDefinition } from '../attached/context.ts'
import { formatList } from '../errors/message.ts'
import { parseSize } from '../options/units.ts'
import type { AnyConfig } from './config.ts'
import { configurationError } from './configuration-error.ts'

type ModelOptions = Pick<AnyConfig, 'models' | 'services' | 'staging' | 'images'>

/**
 * Reads the attachments of all models, fills in defaults, and checks the services and the image
 * processor that they need.
 */
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
    const definitions = new Map<string, AttachmentDefinition>()
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
      definitions.set(name, {
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
    models.set(type, definitions)
  }
  if (models.size === 0)
    throw configurationError(
      'models is empty: define at least one, such as { User: { photo: hasOneAttached() } }.',
    )
  return models
}

/** Lists the services that attachments are uploaded to. */
export function listUsedServices(
  models: ReadonlyMap<string, ReadonlyMap<string, AttachmentDefinition>>,
): string[] {
  const all = [...models.values()].flatMap((attachments) => [...attachments.values()])
  return [...new Set(all.map(({ service }) => service))]
}

/**
 * Returns the kind of an attachment; 'many' for one that is no longer defined, because a has-many
 * removes nothing.
 */
export const toKind = (
  models: ReadonlyMap<string, ReadonlyMap<string, AttachmentDefinition>>,
  { type, name }: { readonly type: string; readonly name: string },
): 'one' | 'many' => models.get(type)?.get(name)?.kind ?? 'many'
