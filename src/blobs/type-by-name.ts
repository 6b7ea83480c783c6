import mime from 'mime'
import { getExtension } from './filename.ts'
import { marcelExtensions } from './type-extensions.ts'
import { toCanonicalType } from './type-names.ts'

/** The type of a name by its extension, as Marcel tells it; what Marcel does not know, as `mime` does. null: the name does not tell. */
export function findTypeByName(filename: string): string | null {
  const ending = getExtension(filename).slice(1).toLowerCase()
  if (ending === '') return null
  const type = marcelExtensions.get(ending) ?? toCanonicalType(mime.getType(`x.${ending}`) ?? '')
  return type === '' || type === 'application/octet-stream' ? null : type
}
