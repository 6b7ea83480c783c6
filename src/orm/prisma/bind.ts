/** A model of the schema with its attachments. */
export interface PrismaModel {
  /** Its name in the schema. */
  readonly model: string
  readonly definitions: object
  /** The names of its attachments. */
  readonly names: readonly string[]
  /** true: a new record must come with a file. */
  readonly isRequired: boolean
  /** The field that is its primary key. */
  readonly id: string
}

const modelsByClient = new WeakMap<object, readonly PrismaModel[]>()

/**
 * Returns the models with attachments of a client that `withAttachments` extended, or of its
 * transaction. undefined: the client was not extended.
 */
export const modelsOf = (client: object): readonly PrismaModel[] | undefined =>
  modelsByClient.get(client)

/** Remembers the models with attachments of a client that the app has. */
export const bindModels = (client: object, models: readonly PrismaModel[]): void =>
  void modelsByClient.set(client, models)
