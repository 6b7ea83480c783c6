import type { RecordSource } from '../../database/database.ts'
import type { RecordId } from '../record-id.ts'
import { modelsOf } from './save-client.ts'
import { propertyOf, type AnyClient, type Delegate, type DelegateOperation } from './client.ts'

type RunOnClient = <T>(run: (client: AnyClient) => Promise<T>) => Promise<T>

/** The records of the model that has these attachments. null: the client has none with them. */
export function createRecordSource(
  client: AnyClient,
  attachments: object,
  within: RunOnClient,
): RecordSource | null {
  const found = modelsOf(client)?.find(({ definitions }) => definitions === attachments)
  if (found === undefined) return null
  const { model, id: key } = found
  const delegateOf = (on: AnyClient): Delegate => on[propertyOf(model)] as Delegate
  const { fields } = delegateOf(client)
  const typed = (id: string): RecordId => {
    const type = fields[key]?.typeName
    return type === 'BigInt' ? BigInt(id) : type === 'Int' ? Number(id) : id
  }
  const isDated = Object.values(fields).some((field) => field?.typeName === 'DateTime')
  return {
    find: (id) =>
      within(async (on) =>
        (delegateOf(on)['findUnique'] as DelegateOperation)({ where: { [key]: typed(id) } }),
      ),
    hasMethod: () => false,
    // Prisma does not tell which field is @updatedAt; it sets it whenever another is written.
    async touch(id) {
      const own = { [key]: typed(id) }
      if (isDated)
        await within(async (on) =>
          (delegateOf(on)['updateMany'] as DelegateOperation)({ where: own, data: own }),
        )
    },
  }
}
