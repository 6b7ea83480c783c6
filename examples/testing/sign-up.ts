// A piece of an app: people sign up with a portrait.
import { hasOneAttached, type ActiveStorage, type Attachable } from 'activestorage-delayed'
import type { DatabaseSync } from 'node:sqlite'

export const models = {
  User: { portrait: hasOneAttached({ accept: ['image/*'], maxSize: '10 MB' }) },
}

export type Storage = ActiveStorage<typeof models, DatabaseSync>

/** The user's row and the portrait are there together, or not at all. */
export function signUp(storage: Storage, name: string, portrait: Attachable): Promise<number> {
  return storage.transaction(async (tx) => {
    const { lastInsertRowid } = tx.prepare('insert into users (name) values (?)').run(name)
    const id = Number(lastInsertRowid)
    await storage.record('User', id, { transaction: tx }).portrait.attachLater(portrait)
    return id
  })
}
