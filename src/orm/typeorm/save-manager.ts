import { EntityManager, type DataSource } from 'typeorm'
import { copyAssignedFiles } from '../copy-assigned-files.ts'
import { isAnyRequired, requireModel } from '../model-registry.ts'
import { isObject, prototypesOf, toList } from '../object-guards.ts'
import { patchMethod } from '../patch-method.ts'
import { hasAssignedFiles, refuseFiles, stageAssignedFiles } from '../assigned-files.ts'
import { saveAndWait } from '../save-and-wait.ts'
import { isBound, unboundError } from './bind.ts'
import { isMarkedInstance } from './internals.ts'
import { findWithRelations } from './preload.ts'
import { attachmentsOf, findMetadata, findReachableEntities, type FoundEntity } from './records.ts'
import { noTransactionError, submitFiles } from './save-subscriber.ts'
import { levelOf, requireRunner, runOwnTransaction } from './transactions.ts'

interface SaveArguments {
  readonly target: unknown
  readonly roots: readonly unknown[]
  readonly options: unknown
}

/**
 * Reads the arguments of `save` and `remove`: entities and options, after a target where one is
 * given.
 */
function readSaveArguments(given: readonly unknown[]): SaveArguments {
  const [target, entity, options] =
    given.length > 1 && isTarget(given[0]) ? given : [undefined, ...given]
  return { target, roots: toList(entity), options }
}

const isTarget = (given: unknown): boolean =>
  typeof given === 'function' || typeof given === 'string' || isMarkedInstance(given)

/** TypeORM's own method, on the manager of the call or on another one. */
type OriginalMethod = (given: readonly unknown[], on?: EntityManager) => unknown
type PatchedMethod = (
  manager: EntityManager,
  given: readonly unknown[],
  original: OriginalMethod,
) => unknown

const findAndPreload: PatchedMethod = (manager, [target, options], original) =>
  findWithRelations(manager, target, options, async (rest) => original([target, rest]))

const createRefusingMethod =
  (verb: 'insert' | 'update' | 'upsert'): PatchedMethod =>
  async (manager, given, original) => {
    refuseBypassedFiles(manager, verb, given[0], given[verb === 'update' ? 2 : 1])
    return original(given)
  }

const patchedMethods: Readonly<Record<string, PatchedMethod>> = {
  find: findAndPreload,
  findOne: findAndPreload,
  findAndCount: findAndPreload,
  insert: createRefusingMethod('insert'),
  upsert: createRefusingMethod('upsert'),
  update: createRefusingMethod('update'),
  create(_, given, original) {
    const created = original(given)
    const values = toList(given[1])
    for (const [index, each] of toList(created).entries()) copyAssignedFiles(values[index], each)
    return created
  },
  merge(_, given, original) {
    const merged = original(given)
    for (const each of given.slice(2)) copyAssignedFiles(each, merged)
    return merged
  },
  async preload(_, given, original) {
    const loaded = await original(given)
    copyAssignedFiles(given[1], loaded)
    return loaded
  },
  async save(manager, given, original) {
    const { target, roots, options } = readSaveArguments(given)
    const found = findReachable(manager, target, roots, 'save')
    return saveWithFiles(manager, found, options, async (on) => original(given, on))
  },
  async remove(manager, given, original) {
    const { target, roots } = readSaveArguments(given)
    const [first] = isBound(manager.dataSource)
      ? []
      : findReachable(manager, target, roots, 'remove')
    if (first !== undefined) throw unboundError(first.metadata)
    return original(given)
  },
}

const patchedPrototypes = new WeakSet<object>()

/**
 * Patches the methods of EntityManager that read, write or copy entities, for all managers of the
 * process. Managers of a data source that is not bound are patched too, so that they refuse files
 * instead of dropping them.
 */
export function patchManager(prototype: EntityManager = EntityManager.prototype): void {
  if (patchedPrototypes.has(prototype)) return
  patchedPrototypes.add(prototype)
  for (const [name, patched] of Object.entries(patchedMethods))
    patchMethod<EntityManager>(
      prototype,
      name,
      (original) =>
        function (this: EntityManager, ...given) {
          return patched(this, given, (rest, on = this) => Reflect.apply(original, on, rest))
        },
    )
}

/**
 * Patches the prototype of a data source's manager. It is another one than the library imports if
 * the app has another copy of TypeORM.
 */
export function patchManagerPrototype({ manager }: DataSource): void {
  const withSave = [...prototypesOf(manager)].filter(
    (each): each is EntityManager => each !== manager && 'save' in each,
  )
  patchManager(withSave.at(-1))
}

function findReachable(
  manager: EntityManager,
  target: unknown,
  roots: readonly unknown[],
  by: 'remove' | 'save',
): FoundEntity[] {
  const { dataSource } = manager
  return dataSource.isInitialized ? findReachableEntities(dataSource, target, roots, by) : []
}

/**
 * Saves entities and submits their files in one transaction: the one that is open, else one that is
 * opened here.
 */
async function saveWithFiles(
  manager: EntityManager,
  found: readonly FoundEntity[],
  options: unknown,
  save: (on: EntityManager) => Promise<unknown>,
): Promise<unknown> {
  const unbound = isBound(manager.dataSource)
    ? undefined
    : found.find(
        ({ entity, attachments }) => hasAssignedFiles(entity) || isAnyRequired(attachments),
      )
  if (unbound !== undefined) throw unboundError(unbound.metadata)
  const withFiles = found.filter(({ entity }) => hasAssignedFiles(entity))
  const [first] = withFiles
  if (first === undefined) return save(manager)
  const saveAndSubmit = async (on: EntityManager): Promise<unknown> => {
    const saved = await save(on)
    // The subscriber has submitted the files of new entities. TypeORM has no event for an entity
    // whose columns did not change.
    for (const each of withFiles) await submitFiles(each, requireRunner(on), { isNew: false })
    return saved
  }
  if (manager.queryRunner?.isTransactionActive === true) return saveAndSubmit(manager)
  if (isObject(options) && options['transaction'] === false)
    throw noTransactionError(
      requireModel(first.attachments).type,
      'save with { transaction: false }',
    )
  for (const { entity, attachments } of withFiles)
    await stageAssignedFiles(requireModel(attachments), entity)
  return saveAndWait((onBegin) =>
    runOwnTransaction(manager, (on) => {
      onBegin(levelOf(requireRunner(on))?.chain[0])
      return saveAndSubmit(on)
    }),
  )
}

/**
 * Throws ConfigurationError for files in the values of a method that has no event for each record.
 */
function refuseBypassedFiles(
  { dataSource }: EntityManager,
  verb: 'insert' | 'update' | 'upsert',
  target: unknown,
  values: unknown,
): void {
  const metadata = findMetadata(dataSource, target)
  const attachments = metadata && attachmentsOf(metadata)
  if (metadata === null || attachments === null) return
  if (verb !== 'update' && !isBound(dataSource) && isAnyRequired(attachments))
    throw unboundError(metadata)
  refuseFiles(`${verb}()`, attachments, values, 'save()')
}
