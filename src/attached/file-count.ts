import { checkFileCount } from '../staging/limits.ts'
import type { AttachmentDefinition } from './context.ts'

/**
 * Throws TooManyFilesError for a has-many with more than `maxFiles`. A has-one takes the last of
 * any number of files.
 */
export function assertFileCount(
  { kind, maxFiles }: AttachmentDefinition,
  attachment: string,
  count: number,
): void {
  checkFileCount(count, kind === 'many' ? maxFiles : undefined, { attachment })
}
