import mime from 'mime'
import { getExtension } from './filename.ts'
import { marcelExtensions } from './type-extensions.ts'
import { toCanonicalType } from './type-names.ts'

/**
 * Finds the type of a name by its extension: Marcel's, else that of the package `mime`. null:
 * unknown.
 */
export function findTypeByName(filename: string): string | null {
  const ending = getExtension(filename).slice(1).toLowerCase()
  if (ending === '') return null
  const type = marcelExtensions.get(ending) ?? toCanonicalType(mime.getType(`x.${ending}`) ?? '')
  return type === '' || type === 'application/octet-stream' ? null : type
}
