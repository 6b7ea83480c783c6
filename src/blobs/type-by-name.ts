import mime from 'mime'
import { extension } from './filename.ts'
import { marcelExtensions } from './type-extensions.ts'
import { canonicalType } from './type-names.ts'

/** The type of a name by its extension, as Marcel tells it; what Marcel does not know, as `mime` does. null: the name does not tell. */
export function typeByName(filename: string): string | null {
  const ending = extension(filename).slice(1).toLowerCase()
  if (ending === '') return null
  const type = marcelExtensions.get(ending) ?? canonicalType(mime.getType(`x.${ending}`) ?? '')
  return type === '' || type === 'application/octet-stream' ? null : type
}
