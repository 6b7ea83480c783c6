import type { FindOptions, InstanceDestroyOptions, Model, SaveOptions } from 'sequelize'
import type { AnyAttachments } from '../../attached/definitions.ts'
import { requireModel, requiresFile } from '../model-registry.ts'
import { isObject, toList } from '../object-guards.ts'
import { patchMethod } from '../patch-method.ts'
import {
  assignFile,
  hasAssignedFiles,
  refuseFiles,
  takeFilesFromLiteral,
  takeFilesFromProperties,
} from '../assigned-files.ts'
import { forgetPreloaded } from '../preloaded.ts'
import { fileKeysOf } from '../reserved-members.ts'
import type { Constructor } from '../with-attachments.ts'
import { appOf, modelOf } from './records.ts'
import { purgeFiles, runInTransaction, saveWithFiles } from './save.ts'
import { openOf, rememberTransaction } from './transactions.ts'

/** Sequelize declares `Model` as abstract; the classes made here are not. */
type ModelClass = typeof Model & Constructor<Model>

/** Creates a class whose records are saved, and destroyed, together with their files. */
export const createModelWithFiles = (attachments: AnyAttachments, base: typeof Model): ModelClass =>
  overrideStatics(attachments, overrideMembers(attachments, base))

const hasFileKey = (values: unknown, keys: readonly string[]): values is object =>
  isObject(values) && keys.some((key) => Object.hasOwn(values, key))

/** Extends a class by `set`, `save`, `reload` and `destroy` of one record. */
function overrideMembers(attachments: AnyAttachments, base: typeof Model): ModelClass {
  const names = Object.keys(attachments)
  const keys = fileKeysOf(names)

  return class extends base {
    override set(key: object | string, ...rest: readonly unknown[]): this {
      if (typeof key === 'string' && keys.includes(key))
        takeFilesFromProperties(names, { [key]: rest[0] }, this)
      else if (hasFileKey(key, keys))
        Reflect.apply(super.set, this, [takeFilesFromLiteral(names, key, this), ...rest])
      else Reflect.apply(super.set, this, [key, ...rest])
      return this
    }

    override async save(options?: SaveOptions): Promise<this> {
      // A class may declare fields of these names, which hide the accessors.
      const hasFiles = takeFilesFromProperties(names, this)
      const save = (given: SaveOptions | undefined): Promise<unknown> => super.save(given)
      await saveWithFiles(attachments, { record: this, options, save, hasFiles })
      return this
    }

    override reload(options?: FindOptions): Promise<this> {
      forgetPreloaded(this)
      rememberTransaction(this, openOf(appOf(modelOf(this)), options))
      if (hasAssignedFiles(this))
        for (const name of names) assignFile(this, name, 'attachLater', undefined)
      return super.reload(options)
    }

    override async destroy(options?: InstanceDestroyOptions): Promise<void> {
      await runInTransaction(modelOf(this), options, (transaction) =>
        super.destroy({ ...options, transaction }),
      )
    }
  }
}

/**
 * Extends a class by the calls that write many records, or none that is loaded: they save the
 * files, or refuse them.
 */
function overrideStatics(attachments: AnyAttachments, base: ModelClass): ModelClass {
  const keys = fileKeysOf(Object.keys(attachments))
  const refuse = (verb: string, values: unknown): void =>
    refuseFiles(verb, attachments, values, 'create() or save()')
  const model = class extends base {}

  patchMethod(
    model,
    'init',
    (init) =>
      function (...given) {
        const result = init.call(this, ...given)
        this.addHook('beforeDestroy', 'activestorage-delayed', (record, options) =>
          purgeFiles(attachments, record, options),
        )
        return result
      },
  )
  patchMethod(
    model,
    'bulkCreate',
    (bulkCreate) =>
      async function (records, given) {
        const options = isObject(given) ? given : {}
        const needsFile = requiresFile(requireModel(attachments))
        if (!needsFile && !toList(records).some((each) => hasFileKey(each, keys)))
          return bulkCreate.call(this, records, given)
        if (options['updateOnDuplicate'] !== undefined || options['ignoreDuplicates'] === true)
          refuse('bulkCreate() with updateOnDuplicate or ignoreDuplicates', records)
        return runInTransaction(this, options, async (transaction) =>
          bulkCreate.call(this, records, { ...options, transaction, individualHooks: true }),
        )
      },
  )
  patchMethod(
    model,
    'destroy',
    (destroy) =>
      async function (given) {
        const options = isObject(given) ? given : {}
        const isBulk = options['individualHooks'] === false || options['hooks'] === false
        if (isBulk || options['truncate'] === true) return destroy.call(this, given)
        // Records are saved one by one, so that each is saved with its files.
        return runInTransaction(this, options, async (transaction) =>
          destroy.call(this, { ...options, transaction, individualHooks: true }),
        )
      },
  )
  for (const [name, verb] of [
    ['update', 'Model.update()'],
    ['upsert', 'upsert()'],
  ] as const)
    patchMethod(
      model,
      name,
      (original) =>
        function (values, ...rest) {
          refuse(verb, values)
          return original.call(this, values, ...rest)
        },
    )
  return model
}
