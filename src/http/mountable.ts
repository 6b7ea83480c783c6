import type { Models } from '../attached/definitions.ts'
import type { ParseForm } from './forms/parse-form.ts'

/** What an adapter mounts: an ActiveStorage. */
export interface Mountable {
  readonly handler: (request: Request) => Promise<Response>
  readonly basePath: string
}

/** What parses forms: an ActiveStorage. */
export interface FormParser<M extends Models> {
  readonly parseForm: ParseForm<M>
}
