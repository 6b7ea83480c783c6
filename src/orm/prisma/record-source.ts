import type { RecordSource } from '../../database/database.ts'
import type { RecordId } from '../record-id.ts'
import { extendedOf } from './bringing.ts'
import { propertyOf, type AnyClient, type Delegate, type Operation } from './client.ts'

type Within = <T>(run: (client: AnyClient) => Promise<T>) => Promise<T>

/** The records of the model that has these attachments. null: the client has none with them. */
export function recordSource(
  client: AnyClient,
  attachments: object,
  within: Within,
): RecordSource | null {
  const found = extendedOf(client)?.find(({ definitions }) => definitions === attachments)
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
        (delegateOf(on)['findUnique'] as Operation)({ where: { [key]: typed(id) } }),
      ),
    has: () => false,
    // Prisma does not tell which field is @updatedAt; it sets it whenever another is written.
    async touch(id) {
      const own = { [key]: typed(id) }
      if (isDated)
        await within(async (on) =>
          (delegateOf(on)['updateMany'] as Operation)({ where: own, data: own }),
        )
    },
  }
}
