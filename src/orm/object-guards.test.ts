import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  hasMethod,
  isConstructor,
  isObject,
  prototypesOf,
  readPath,
  toList,
} from './object-guards.ts'

class Animal {
  speak(): string {
    return 'noise'
  }
}
class Cat extends Animal {}

test('isObject takes objects and lists, not null, functions or primitives', () => {
  const [object, list, cat] = [{}, [], new Cat()]
  const values = [object, list, cat, null, undefined, 1, '', () => 1]
  assert.deepEqual(values.filter(isObject), [object, list, cat])
})

test('isConstructor takes classes, not arrow functions', () => {
  assert.deepEqual([Cat, () => 1, Function.prototype, {}].map(isConstructor), [
    true,
    false,
    false,
    false,
  ])
})

test('hasMethod finds methods of prototypes, and static ones of classes', () => {
  assert.equal(hasMethod(new Cat(), 'speak'), true)
  assert.equal(hasMethod({ speak: 'noise' }, 'speak'), false)
  assert.equal(hasMethod(Date, 'now'), true)
  assert.equal(hasMethod('text', 'trim'), false)
})

test('prototypesOf begins with the value itself', () => {
  const cat = new Cat()
  assert.deepEqual([...prototypesOf(cat)], [cat, Cat.prototype, Animal.prototype, Object.prototype])
  assert.deepEqual([...prototypesOf(Cat)].slice(0, 2), [Cat, Animal])
})

test('readPath stops where there is nothing', () => {
  assert.equal(readPath({ a: { b: 1 } }, 'a', 'b'), 1)
  assert.equal(readPath({ a: null }, 'a', 'b'), undefined)
  assert.equal(readPath(undefined, 'a'), undefined)
})

test('toList makes a list of one', () => {
  assert.deepEqual([toList([1, 2]), toList(1), toList(undefined)], [[1, 2], [1], [undefined]])
})
