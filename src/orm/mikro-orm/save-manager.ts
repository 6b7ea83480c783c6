import { EntityManager } from '@mikro-orm/core'
import { refuseFiles } from '../pending-files.ts'
import { copyPendingFiles } from '../copy-pending-files.ts'
import { forgetPreloaded } from '../preloaded.ts'
import { definitionsOf } from '../with-attachments.ts'
import { patchFinds } from './preload.ts'
import { flushWithFiles, subscribeManager } from './save.ts'

type ManagerMethod = (this: EntityManager, ...given: unknown[]) => unknown
const patchedPrototypes = new WeakSet<object>()

/**
 * Makes every manager bring files along, whatever it was forked from and when: nothing of them is dropped on the way. Those of an
 * ORM that is not bound say so.
 */
export function patchManager(some: EntityManager = EntityManager.prototype): void {
  let at = some
  while (!Object.hasOwn(at, 'flush')) at = Object.getPrototypeOf(at) as EntityManager
  if (patchedPrototypes.has(at)) return
  patchedPrototypes.add(at)
  patchFinds(at)
  const own = at as unknown as Record<string, ManagerMethod>
  const { begin, create, flush, merge, refresh, transactional } = own as Record<
    string,
    ManagerMethod
  >
  for (const [name, open] of Object.entries({ begin, transactional }))
    own[name] = function (...given) {
      subscribeManager(this)
      return open!.apply(this, given)
    }
  own['flush'] = function () {
    return flushWithFiles(this, () => flush!.call(this) as Promise<void>)
  }
  own['create'] = function (type, data, ...rest) {
    const made = create!.call(this, type, data, ...rest)
    copyPendingFiles(data, made)
    return made
  }
  own['merge'] = function (...given) {
    const merged = merge!.apply(this, given)
    if (given.length > 1) copyPendingFiles(given[1], merged)
    return merged
  }
  own['refresh'] = function (entity, ...rest) {
    forgetPreloaded(entity as object)
    return refresh!.call(this, entity, ...rest)
  }
  for (const [verb, values] of [
    ['insert', 1],
    ['insertMany', 1],
    ['upsert', 1],
    ['upsertMany', 1],
    ['nativeUpdate', 2],
  ] as const) {
    const call = own[verb]!
    own[verb] = function (...given) {
      const [type] = given
      for (const each of [given[values] ?? type].flat()) {
        const attachments =
          typeof type === 'function'
            ? definitionsOf(type)
            : typeof each === 'object' && each !== null
              ? definitionsOf(each)
              : null
        if (attachments !== null)
          refuseFiles(`${verb}()`, attachments, each, 'create() and flush()')
      }
      return call.apply(this, given)
    }
  }
}
