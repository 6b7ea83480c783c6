import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Dialect } from './database.ts'
import { toParameter } from './parameters.ts'

const all: readonly Dialect[] = ['postgres', 'mysql', 'mariadb', 'sqlite']

test('values that every driver takes stay as they are', () => {
  for (const dialect of all)
    for (const value of [null, 0, -1.5, 2n ** 62n, '', "it's", Buffer.from([0, 255])])
      assert.equal(toParameter(value, dialect), value)
})

test('undefined is null', () => {
  for (const dialect of all) assert.equal(toParameter(undefined, dialect), null)
})

test('a boolean is a boolean on PostgreSQL, and a number elsewhere', () => {
  assert.equal(toParameter(true, 'postgres'), true)
  assert.deepEqual(
    [toParameter(true, 'mysql'), toParameter(false, 'mariadb'), toParameter(true, 'sqlite')],
    [1, 0, 1],
  )
})

test('a Date is sent in UTC, with milliseconds', () => {
  const date = new Date('2024-02-29T23:59:58.070+02:00')
  assert.equal(toParameter(date, 'postgres'), '2024-02-29T21:59:58.070Z')
  for (const dialect of ['mysql', 'mariadb', 'sqlite'] as const)
    assert.equal(toParameter(date, dialect), '2024-02-29 21:59:58.070')
  assert.throws(() => toParameter(new Date(Number.NaN), 'postgres'), { code: 'CONFIGURATION' })
})

test('bytes are a Buffer on the same memory', () => {
  const bytes = new Uint8Array([1, 2, 3, 4])
  for (const given of [bytes.subarray(1, 3), new DataView(bytes.buffer, 1, 2)]) {
    const parameter = toParameter(given, 'sqlite')
    assert.ok(Buffer.isBuffer(parameter))
    assert.deepEqual([...parameter], [2, 3])
    assert.equal(parameter.buffer, bytes.buffer)
  }
  assert.deepEqual(toParameter(bytes.buffer, 'postgres'), Buffer.from([1, 2, 3, 4]))
})

test('objects are JSON', () => {
  for (const dialect of all) {
    assert.equal(
      toParameter({ a: [1, null], at: new Date(0) }, dialect),
      '{"a":[1,null],"at":"1970-01-01T00:00:00.000Z"}',
    )
    assert.equal(toParameter({ toJSON: () => 'itself' }, dialect), '"itself"')
  }
})

test('a list is an array on PostgreSQL, and JSON elsewhere', () => {
  const list = [1, 2n, 'a"b\\c, {d}', '', 'NULL', null, undefined, true, new Date(0)]
  assert.equal(
    toParameter(list, 'postgres'),
    '{"1","2","a\\"b\\\\c, {d}","","NULL",NULL,NULL,"true","1970-01-01T00:00:00.000Z"}',
  )
  assert.equal(toParameter([], 'postgres'), '{}')
  assert.equal(toParameter([[1, 2], [3]], 'postgres'), '{{"1","2"},{"3"}}')
  assert.equal(
    toParameter([{ a: 1 }, Buffer.from([10, 255])], 'postgres'),
    String.raw`{"{\"a\":1}","\\x0aff"}`,
  )
  for (const dialect of ['mysql', 'mariadb', 'sqlite'] as const)
    assert.equal(toParameter([1, 'a', null], dialect), '[1,"a",null]')
})

test('a value that no driver takes is refused', () => {
  const circle: Record<string, unknown> = {}
  circle['self'] = circle
  for (const dialect of all)
    for (const value of [() => 1, Symbol('s'), circle, { n: 1n }])
      assert.throws(() => toParameter(value, dialect), { code: 'CONFIGURATION' })
})
