// An app in the usual style of Nest: legacy decorators with metadata of types, compiled to
// CommonJS, on the built package.
import {
  BadRequestException,
  Body,
  ConflictException,
  Controller,
  Injectable,
  Module,
  Param,
  Post,
  UploadedFiles,
  UseInterceptors,
  type DynamicModule,
  type PipeTransform,
} from '@nestjs/common'
import {
  hasManyAttached,
  hasOneAttached,
  type ActiveStorage,
  type FilesByName,
  type ParsedForm,
} from 'activestorage-delayed'
import { FormInterceptor, InjectActiveStorage, UploadedForm } from 'activestorage-delayed/nestjs'

export const modelsWith = (afterUpload: () => void) => ({
  User: {
    photo: hasOneAttached({ maxSize: '1 KB', afterUpload }),
    certificates: hasManyAttached(),
  },
})
type Models = ReturnType<typeof modelsWith>
type UserFiles = FilesByName<Models['User']>
type UserForm = ParsedForm<Models['User']>
type Storage = ActiveStorage<Models, never>

class UserValues {
  name!: string
}

/** A pipe like ValidationPipe, which validates by the class of the parameter. */
@Injectable()
class NamedPipe implements PipeTransform {
  transform(value: UserValues, { metatype }: { metatype?: unknown }): UserValues {
    if (metatype === UserValues && !value.name)
      throw new BadRequestException('A user needs a name.')
    return value
  }
}

@Injectable()
class UsersService {
  constructor(@InjectActiveStorage() private readonly storage: Storage) {}

  save(id: string, files: UserFiles): Promise<unknown> {
    return this.storage.record('User', id).attachLater(files)
  }
}

@Controller('users')
class UsersController {
  constructor(private readonly users: UsersService) {}

  @Post(':id')
  @UseInterceptors(FormInterceptor('User'))
  async save(
    @Param('id') id: string,
    @Body(NamedPipe) { name }: UserValues,
    @UploadedFiles() files: UserFiles,
  ): Promise<string> {
    if (name === 'taken') throw new ConflictException('The name is taken.')
    await this.users.save(id, files)
    return `saved ${name}`
  }

  @Post(':id/drafts')
  @UseInterceptors(FormInterceptor('User', { scope: null, limits: { files: 1 } }))
  draft(@UploadedForm() { values, hidden }: UserForm): object {
    return { values, hidden }
  }

  @Post(':id/mistakes')
  @UseInterceptors(FormInterceptor('Nobody'))
  mistake(): void {}
}

@Module({ controllers: [UsersController], providers: [UsersService] })
class UsersModule {}

@Module({})
export class AppModule {
  static with(storage: DynamicModule): DynamicModule {
    return { module: AppModule, imports: [UsersModule, storage] }
  }
}
