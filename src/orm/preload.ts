import { requireModel } from './model-registry.ts'
import { keepPreloaded } from './preloaded.ts'
import { definitionsOf, idOfRecord } from './with-attachments.ts'

/**
 * Reads the attached and pending files of all these records, in two statements for each of their
 * models.
 */
export async function preload(records: Iterable<object>, transaction?: unknown): Promise<void> {
  for (const [attachments, all] of Map.groupBy(new Set(records), definitionsOf)) {
    if (attachments === null) continue
    const saved = all.flatMap((record) => {
      const id = idOfRecord(record)
      return id === null ? [] : [{ record, id }]
    })
    const ids = saved.map(({ id }) => id)
    const loaded = await requireModel(attachments).load(ids, transaction)
    for (const [index, rows] of loaded.entries()) {
      const record = saved[index]?.record
      if (record !== undefined) keepPreloaded(record, rows, transaction)
    }
  }
}
