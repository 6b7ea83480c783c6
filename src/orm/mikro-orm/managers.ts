import { EntityManager } from '@mikro-orm/core'
import { refuseFiles } from '../assigned.ts'
import { copyAssigned } from '../copy-assigned.ts'
import { forgetLoaded } from '../loaded.ts'
import { attachmentsOf } from '../with-attachments.ts'
import { populating } from './populating.ts'
import { flushWith, listen } from './saving.ts'

type Call = (this: EntityManager, ...given: unknown[]) => unknown
const bringing = new WeakSet<object>()

/**
 * Makes every manager bring files along, whatever it was forked from and when: nothing of them is dropped on the way. Those of an
 * ORM that is not bound say so.
 */
export function bringAlong(some: EntityManager = EntityManager.prototype): void {
  let at = some
  while (!Object.hasOwn(at, 'flush')) at = Object.getPrototypeOf(at) as EntityManager
  if (bringing.has(at)) return
  bringing.add(at)
  populating(at)
  const own = at as unknown as Record<string, Call>
  const { begin, create, flush, merge, refresh, transactional } = own as Record<string, Call>
  for (const [name, open] of Object.entries({ begin, transactional }))
    own[name] = function (...given) {
      listen(this)
      return open!.apply(this, given)
    }
  own['flush'] = function () {
    return flushWith(this, () => flush!.call(this) as Promise<void>)
  }
  own['create'] = function (type, data, ...rest) {
    const made = create!.call(this, type, data, ...rest)
    copyAssigned(data, made)
    return made
  }
  own['merge'] = function (...given) {
    const merged = merge!.apply(this, given)
    if (given.length > 1) copyAssigned(given[1], merged)
    return merged
  }
  own['refresh'] = function (entity, ...rest) {
    forgetLoaded(entity as object)
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
            ? attachmentsOf(type)
            : typeof each === 'object' && each !== null
              ? attachmentsOf(each)
              : null
        if (attachments !== null)
          refuseFiles(`${verb}()`, attachments, each, 'create() and flush()')
      }
      return call.apply(this, given)
    }
  }
}
