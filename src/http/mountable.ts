import type { Models } from '../attached/definitions.ts'
import type { ParseForm } from './forms/parse-form.ts'

/** Members of an ActiveStorage that an adapter mounts. */
export interface Mountable {
  /** Responds to a web request below `basePath`. */
  readonly handler: (request: Request) => Promise<Response>
  readonly basePath: string
}

/** Members of an ActiveStorage that `form` of an adapter uses. */
export interface FormParser<M extends Models> {
  readonly parseForm: ParseForm<M>
}
