import { boundModel } from './bound.ts'
import { keepLoaded } from './loaded.ts'
import { attachmentsOf, idOfRecord } from './with-attachments.ts'

/** Reads what is attached and on its way to all of these records, in two statements for each of their models. */
export async function preload(records: Iterable<object>, transaction?: unknown): Promise<void> {
  for (const [attachments, all] of Map.groupBy(new Set(records), attachmentsOf)) {
    if (attachments === null) continue
    const saved = all.flatMap((record) => {
      const id = idOfRecord(record)
      return id === null ? [] : [{ record, id }]
    })
    const ids = saved.map(({ id }) => id)
    const loaded = await boundModel(attachments).load(ids, transaction)
    for (const [index, { record }] of saved.entries())
      keepLoaded(record, loaded[index]!, transaction)
  }
}
