import {
  createParamDecorator,
  Inject,
  mixin,
  type NestInterceptor,
  type Type,
} from '@nestjs/common'
import { catchError } from 'rxjs'
import type { AnyAttachments, Models } from '../attached/definitions.ts'
import { StagedFile } from '../attached/staged-file.ts'
import type { NodeRequest } from '../http/request-body.ts'
import type { ParsedForm, ParseFormOptions } from '../http/forms/parse-form.ts'
import type { FormParser } from '../http/mountable.ts'
import { ACTIVE_STORAGE } from './token.ts'

/** Of Express, which is Node's own with more, or of Fastify, which has it within. */
type FrameworkRequest = (NodeRequest | { readonly raw: NodeRequest }) & {
  form?: ParsedForm<AnyAttachments>
  body?: unknown
  files?: unknown
}

/**
 * Where `FileInterceptor` stands today: stages the files of a form as they stream in. `@Body()` is what `storage.parseForm`
 * gives as values, `@UploadedFiles()` its files, `@UploadedForm()` all of it.
 *
 * Where a pipe or the handler throws, nothing is kept of what came with the form; files that hidden fields name stay for the
 * next try. The module makes an HttpException of an error of the
 * library, with its status, its code and the message for visitors; the error is its `cause`. What was typed until then is in
 * the request's body.
 *
 * @example
 * import { UploadedFiles, UseInterceptors } from '@nestjs/common'
 * import type { FilesByName } from 'activestorage-delayed'
 * import { FormInterceptor } from 'activestorage-delayed/nestjs'
 *
 * class UsersController {
 *   // @Patch(':id') @UseInterceptors(FormInterceptor('User'))
 *   async update(id: string, files: FilesByName<typeof userAttachments>) { // @Param('id') id, @UploadedFiles() files
 *     await storage.record('User', id).attachLater(files)
 *   }
 * }
 * const update = Object.getOwnPropertyDescriptor(UsersController.prototype, 'update')!
 * UseInterceptors(FormInterceptor('User'))(UsersController.prototype, 'update', update)
 * UploadedFiles()(UsersController.prototype, 'update', 1)
 */
export function FormInterceptor(
  model: string,
  options: Omit<ParseFormOptions, 'model'> = {},
): Type<NestInterceptor> {
  class Interceptor implements NestInterceptor {
    readonly #storage: FormParser<Models>
    constructor(storage: FormParser<Models>) {
      this.#storage = storage
    }

    async intercept(
      ...[context, next]: Parameters<NestInterceptor['intercept']>
    ): Promise<ReturnType<typeof next.handle>> {
      const request = context.switchToHttp().getRequest<FrameworkRequest>()
      const form = await this.#parse(request)
      // Pipes run within `handle`, and so does the validation of what they are given.
      return next.handle().pipe(
        catchError(async (error: unknown) => {
          // What cannot be given up now goes by itself when it has expired.
          await discardFormFiles(form).catch(() => undefined)
          throw error
        }),
      )
    }

    async #parse(request: FrameworkRequest): Promise<ParsedForm<AnyAttachments>> {
      try {
        const form = await this.#storage.parseForm('raw' in request ? request.raw : request, {
          ...options,
          model,
        })
        request.form = form
        request.body = form.values
        request.files = form.files
        return form
      } catch (error) {
        request.body = (error as { values?: unknown }).values ?? {}
        throw error
      }
    }
  }
  Inject(ACTIVE_STORAGE)(Interceptor, undefined, 0)
  return mixin(Interceptor)
}

/** What this request staged is known to nobody else. What hidden fields name is the page's, which may send it again. */
async function discardFormFiles({ files }: ParsedForm<AnyAttachments>): Promise<void> {
  for (const input of Object.values(files))
    for (const file of [(input as { readonly files?: unknown }).files ?? input].flat())
      if (file instanceof StagedFile) await file.discard()
}

/**
 * The form that `FormInterceptor` read: beside values and files, `hidden`, for a page that is shown again with the files in it.
 */
export const UploadedForm: () => ParameterDecorator = createParamDecorator(
  (_data: unknown, context) => context.switchToHttp().getRequest<FrameworkRequest>().form,
)
