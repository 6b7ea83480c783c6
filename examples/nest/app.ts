// npm run build && node examples/nest/app.ts
import 'reflect-metadata'
import {
  Body,
  Controller,
  Get,
  Module,
  Post,
  Redirect,
  UploadedFiles,
  UseInterceptors,
} from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { ActiveStorageModule, FormInterceptor } from 'activestorage-delayed/nestjs'
import { createTable, createUser, storage, usersPage, type UserForm } from '../users.ts'

class UsersController {
  list(): Promise<string> {
    return usersPage()
  }

  async create(values: UserForm['values'], files: UserForm['files']): Promise<void> {
    await createUser({ values, files })
  }
}
class AppModule {}

// Decorators as functions, for node runs this file as it is. In a project that compiles them: @Controller(), @Get(), …
const method = (name: 'list' | 'create') =>
  [
    UsersController.prototype,
    name,
    Object.getOwnPropertyDescriptor(UsersController.prototype, name)!,
  ] as const
Controller()(UsersController)
Get()(...method('list'))
Post('users')(...method('create'))
Redirect('/', 303)(...method('create'))
UseInterceptors(FormInterceptor('User'))(...method('create'))
Body()(UsersController.prototype, 'create', 0)
UploadedFiles()(UsersController.prototype, 'create', 1)
Module({
  imports: [ActiveStorageModule.forRoot({ storage, migrate: true, work: true })],
  controllers: [UsersController],
})(AppModule)

const app = await NestFactory.create(AppModule, { logger: ['error', 'warn'] })
await createTable()
app.enableShutdownHooks()
await app.listen(Number(process.env['PORT'] ?? 3000))
console.log(await app.getUrl())
