import { EntityManager } from '@mikro-orm/core'
import { copyAssignedFiles } from '../copy-assigned-files.ts'
import { isObject, prototypesOf, toList } from '../object-guards.ts'
import { patchMethod } from '../patch-method.ts'
import { refuseFiles } from '../assigned-files.ts'
import { forgetPreloaded } from '../preloaded.ts'
import { definitionsOf } from '../with-attachments.ts'
import { patchFinds } from './preload.ts'
import { flushWithFiles } from './save-flush.ts'
import { subscribeManager } from './save-subscriber.ts'

const patchedPrototypes = new WeakSet<object>()

/**
 * Patches the methods of EntityManager that read, write or copy entities, for all managers of the
 * process, also those that exist already. Managers of an ORM that is not bound are patched too, so
 * that they refuse files instead of dropping them. `some` is any manager of the app's copy of
 * MikroORM.
 */
export function patchManager(some: EntityManager = EntityManager.prototype): void {
  const prototype = [...prototypesOf(some)].find((each): each is EntityManager =>
    Object.hasOwn(each, 'flush'),
  )
  if (prototype === undefined || patchedPrototypes.has(prototype)) return
  patchedPrototypes.add(prototype)
  patchFinds(prototype)
  patchWrites(prototype)
  patchBypasses(prototype)
}

function patchWrites(prototype: EntityManager): void {
  for (const name of ['begin', 'transactional'])
    patchMethod(
      prototype,
      name,
      (original) =>
        function (...given) {
          subscribeManager(this)
          return Reflect.apply(original, this, given)
        },
    )
  patchMethod(
    prototype,
    'flush',
    (original) =>
      function () {
        return flushWithFiles(this, async () => {
          await original.call(this)
        })
      },
  )
  patchMethod(
    prototype,
    'create',
    (original) =>
      function (...given) {
        const created = Reflect.apply(original, this, given)
        copyAssignedFiles(given[1], created)
        return created
      },
  )
  patchMethod(
    prototype,
    'merge',
    (original) =>
      function (...given) {
        const merged = Reflect.apply(original, this, given)
        if (given.length > 1) copyAssignedFiles(given[1], merged)
        return merged
      },
  )
  patchMethod(
    prototype,
    'refresh',
    (original) =>
      function (...given) {
        if (isObject(given[0])) forgetPreloaded(given[0])
        return Reflect.apply(original, this, given)
      },
  )
}

/** Makes the methods that write past a flush refuse files. They have no event for each record. */
function patchBypasses(prototype: EntityManager): void {
  for (const [name, place] of [
    ['insert', 1],
    ['insertMany', 1],
    ['upsert', 1],
    ['upsertMany', 1],
    ['nativeUpdate', 2],
  ] as const)
    patchMethod(
      prototype,
      name,
      (original) =>
        function (...given) {
          const [type] = given
          for (const each of toList(given[place] ?? type)) {
            const attachments = findWrittenAttachments(type, each)
            if (attachments !== null)
              refuseFiles(`${name}()`, attachments, each, 'create() and flush()')
          }
          return Reflect.apply(original, this, given)
        },
    )
}

/**
 * Finds the attachments of the entities that a call writes: by its first argument, a class, else by
 * the entity itself.
 */
function findWrittenAttachments(type: unknown, entity: unknown): object | null {
  if (typeof type === 'function') return definitionsOf(type)
  return isObject(entity) ? definitionsOf(entity) : null
}
