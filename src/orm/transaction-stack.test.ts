import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TransactionLevel } from './transaction-stack.ts'

const levels = (): { outer: TransactionLevel; inner: TransactionLevel; calls: string[] } => {
  const outer = new TransactionLevel(undefined)
  const inner = new TransactionLevel(outer)
  const calls: string[] = []
  for (const [name, level] of Object.entries({ outer, inner })) {
    level.afterCommit(() => calls.push(`${name} committed`))
    level.afterRollback(() => calls.push(`${name} rolled back`))
  }
  return { outer, inner, calls }
}

test('callbacks of a savepoint run when the outermost transaction is committed', () => {
  const { outer, inner, calls } = levels()
  inner.markCommitted()
  assert.deepEqual(calls, [])
  outer.markCommitted()
  assert.deepEqual(calls, ['outer committed', 'inner committed'])
})

test('a savepoint that is rolled back is undone, and never called committed', () => {
  const { outer, inner, calls } = levels()
  inner.markRolledBack()
  outer.markCommitted()
  assert.deepEqual(calls, ['inner rolled back', 'outer committed'])
})

test('a rollback undoes the savepoints that were released in it, the last one first', () => {
  const { outer, inner, calls } = levels()
  inner.markCommitted()
  outer.markRolledBack()
  assert.deepEqual(calls, ['inner rolled back', 'outer rolled back'])
})

test('a level ends once', () => {
  const { outer, calls } = levels()
  outer.markCommitted()
  outer.markRolledBack()
  outer.markCommitted()
  assert.deepEqual(calls, ['outer committed'])
})

test('the chain has the innermost token first, and keeps the tokens of released savepoints', () => {
  const [transaction, first, second] = [{}, {}, {}]
  const outer = new TransactionLevel(undefined, transaction)
  const released = new TransactionLevel(outer, first)
  assert.deepEqual(released.chain, [first, transaction])
  released.markCommitted()
  const undone = new TransactionLevel(outer, second)
  assert.deepEqual(undone.chain, [second, transaction, first])
  undone.markRolledBack()
  assert.deepEqual(outer.chain, [transaction, first])
})

test('a level is active while all that it is part of may be committed', () => {
  const { outer, inner } = levels()
  inner.markCommitted()
  assert.equal(inner.isActive, true)
  outer.markCommitted()
  assert.deepEqual([inner.isActive, outer.isActive], [false, false])
  const undone = new TransactionLevel(new TransactionLevel(undefined))
  undone.markRolledBack()
  assert.deepEqual([undone.isActive, undone.outer?.isActive], [false, true])
})

test('the outermost level is the transaction itself', () => {
  const { outer, inner } = levels()
  assert.equal(new TransactionLevel(inner).outermost, outer)
  assert.equal(outer.outermost, outer)
})
