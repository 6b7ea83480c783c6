// Fields of Lucid that its types declare as private. Each is checked where it is read, so that a
// version without them is no
// crash here; test/orm-internals.test.ts fails when a version lacks or changes them.
import type { Preloader } from '@adonisjs/lucid/orm'
import { isObject } from '../object-guards.ts'

/** Reads the model that a preloader loads for, which no public member shows. */
export function readModel(preloader: Preloader): object | undefined {
  const model: unknown = Reflect.get(preloader, 'model')
  return typeof model === 'function' ? model : undefined
}

/**
 * Adds a relation to those that a preloader will load. `Preloader.load` only takes relations that
 * the model declares, and an attachment is none.
 */
export function addRelation(preloader: Preloader, name: string, relation: object): void {
  const preloads: unknown = Reflect.get(preloader, 'preloads')
  if (isObject(preloads)) preloads[name] = { relation }
}
