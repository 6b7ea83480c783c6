import type { RecordContext, AttachmentDefinition } from '../attached/scope.ts'
import type { AfterRefusalLimits } from './after-refusal.ts'
import type { Authorize } from './authorize.ts'

/** What the routes need; one for each storage. */
export interface HttpContext extends RecordContext {
  readonly afterRefusal: AfterRefusalLimits
  readonly authorize: Authorize | undefined
  /** The service of files that no attachment is known for. */
  readonly defaultService: string
  /** Bytes of such a file. */
  readonly maxSize: number | undefined
  readonly models: ReadonlyMap<string, ReadonlyMap<string, AttachmentDefinition>>
}
