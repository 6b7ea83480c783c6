import {
  createParamDecorator,
  Inject,
  mixin,
  type NestInterceptor,
  type Type,
} from '@nestjs/common'
import { catchError } from 'rxjs'
import type { AnyAttachments, Models } from '../attached/definitions.ts'
import { ActiveStorageError } from '../errors/errors.ts'
import { StagedFile } from '../attached/staged-file.ts'
import type { NodeRequest } from '../http/request-body.ts'
import type { ParsedForm, ParseFormOptions } from '../http/forms/parse-form.ts'
import type { FormParser } from '../http/mountable.ts'
import { ACTIVE_STORAGE } from './token.ts'

/** Request of Express, which extends Node's, or of Fastify, which has Node's as `raw`. */
type FrameworkRequest = (NodeRequest | { readonly raw: NodeRequest }) & {
  form?: ParsedForm<AnyAttachments>
  body?: unknown
  files?: unknown
}

/**
 * Replaces `FileInterceptor`: stages the files of a form while they arrive. `@Body()` gets the
 * values of `storage.parseForm`, `@UploadedFiles()` its files, `@UploadedForm()` the whole result.
 *
 * When a pipe or the handler throws, the files of this request are discarded; files that hidden
 * fields name stay for the next try. The module turns an error of the library into an HttpException
 * with its status, its code and the message for visitors; the error is its `cause`. The request's
 * body then has the values that were read before.
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
      // Pipes, and the validation that they do, run within `handle`.
      return next.handle().pipe(
        catchError(async (error: unknown) => {
          // A file that cannot be discarded now expires by itself.
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
        request.body = error instanceof ActiveStorageError ? (error.values ?? {}) : {}
        throw error
      }
    }
  }
  Inject(ACTIVE_STORAGE)(Interceptor, undefined, 0)
  return mixin(Interceptor)
}

/**
 * Discards the files of this request. The page may send files of its hidden fields again, so they
 * stay.
 */
async function discardFormFiles({ files }: ParsedForm<AnyAttachments>): Promise<void> {
  for (const input of Object.values(files))
    for (const file of [(input as { readonly files?: unknown }).files ?? input].flat())
      if (file instanceof StagedFile) await file.discard()
}

/**
 * Passes the result of `FormInterceptor` to a parameter: values, files, and `hidden`, for a form
 * that is shown again.
 */
export const UploadedForm: () => ParameterDecorator = createParamDecorator(
  (_data: unknown, context) => context.switchToHttp().getRequest<FrameworkRequest>().form,
)
