import type { AnyAttachments } from '../../attached/definitions.ts'
import { ConfigurationError } from '../../errors/errors.ts'
import { isAnyRequired } from '../model-registry.ts'
import type { PrismaModel } from './bind.ts'
import { isDelegate, propertyOf, type AnyClient } from './client.ts'
import { relationsOf } from './internals.ts'
import { createAccessors } from './records.ts'
import { createClientProxy } from './save-client.ts'
import type { PrismaAttachments } from './types.ts'

/** Options of `withAttachments`. */
export interface WithAttachmentsOptions<N extends string> {
  /** The field that is the primary key, by model. One column. Default: `id`. */
  readonly ids?: Readonly<Partial<Record<N, string>>>
}

/**
 * Creates an extension of Prisma's client. `data` takes `photoTmp: file`, which is attached in the
 * background, and `photo: file`; records have `photo` and `photoDelayedUploads()`. `models` has the
 * attachments by the model's name in the schema; pass the same objects to createActiveStorage.
 * Extend a client once, with all of its models. `$extends` throws ConfigurationError for a model or
 * an id that the schema does not have, and for an attachment with the name of a field.
 *
 * @example
 * declare const base: import('./generated/prisma/client.ts').PrismaClient
 * const { withAttachments } = await import('activestorage-delayed/prisma')
 * const db = base.$extends(withAttachments({ User: userAttachments }))
 * const user = await db.user.create({ data: { name: 'Ada', photoTmp: file } })
 * await user.photoDelayedUploads()
 */
export function withAttachments<M extends Readonly<Record<string, AnyAttachments>>>(
  models: M,
  options: WithAttachmentsOptions<keyof M & string> = {},
): PrismaAttachments<M> {
  const ids: Readonly<Record<string, string | undefined>> = options.ids ?? {}
  const attached = Object.entries(models).map(([model, definitions]): PrismaModel => ({
    model,
    definitions,
    names: Object.keys(definitions),
    isRequired: isAnyRequired(definitions),
    id: ids[model] ?? 'id',
  }))
  const extend = (client: AnyClient): AnyClient => {
    for (const each of attached) checkModel(client, each)
    return createClientProxy(client.$extends(createAccessors(attached)), attached).proxy
  }
  return extend as unknown as PrismaAttachments<M>
}

/**
 * Throws ConfigurationError for a model, or names of attachments, that do not fit the schema of a
 * client.
 */
function checkModel(client: AnyClient, { model, names, id }: PrismaModel): void {
  const wrong = (text: string): ConfigurationError =>
    new ConfigurationError(`withAttachments: ${text}`)
  const delegate = client[propertyOf(model)]
  if (!isDelegate(delegate)) throw wrong(`the schema of this client has no model '${model}'.`)
  if (delegate.fields[id] === undefined)
    throw wrong(
      `${model} has no field '${id}'. Name its primary key: withAttachments({ … }, { ids: { ${model}: '…' } }).`,
    )
  const fields = new Set([...Object.keys(delegate.fields), ...relationsOf(client, model).keys()])
  const taken = names
    .flatMap((name) => [name, `${name}Tmp`, `${name}DelayedUploads`])
    .find((name) => fields.has(name))
  if (taken !== undefined)
    throw wrong(
      `${model} has a field '${taken}' in the schema. Give the attachment, or the field, another name.`,
    )
}
