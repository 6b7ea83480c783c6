// Empty databases for ORMs, which open their own connections.
import { test } from 'node:test'
import type { Kind, TestDatabase } from './databases.ts'

/** Thrown where there is no such database. */
export const notThere = new Error('not there')

/** An empty database without connections. */
export async function emptyDatabase(kind: Kind): Promise<TestDatabase> {
  const made = await kind.create()
  if (made === null) throw notThere
  await made.database.close()
  return made
}

/** `test`, which is skipped where there is no such database. */
export const skipping =
  (kind: Kind) =>
  (title: string, run: () => Promise<void>): unknown =>
    test(title, (t) =>
      run().catch((error: unknown) => {
        if (error !== notThere) throw error
        t.skip(`${kind.name}: ${kind.why}`)
      }),
    )
