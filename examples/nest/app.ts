// npm run build && node examples/nest/app.ts
import 'reflect-metadata'
import type { IncomingMessage } from 'node:http'
import { Controller, Get, Module, Post, Redirect, Req } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { activeStorage } from 'activestorage-delayed/express'
import { createUser, start, storage, usersPage } from '../users.ts'

class UsersController {
  list(): Promise<string> {
    return usersPage()
  }

  async create(request: IncomingMessage): Promise<void> {
    await createUser(await storage.parseForm(request, { model: 'User' }))
  }
}
class AppModule {}

// Decorators as functions, for node runs this file as it is. In a project that compiles them: @Controller(), @Get(), …
const method = (name: 'list' | 'create') =>
  [UsersController.prototype, name, Object.getOwnPropertyDescriptor(UsersController.prototype, name)!] as const
Controller()(UsersController)
Get()(...method('list'))
Post('users')(...method('create'))
Redirect('/', 303)(...method('create'))
Req()(UsersController.prototype, 'create', 0)
Module({ controllers: [UsersController] })(AppModule)

await start()
const app = await NestFactory.create(AppModule, { logger: ['error', 'warn'] })

// Before `listen`: then it comes before Nest's own parsers of bodies, which may stay on.
app.use(activeStorage(storage))

await app.listen(Number(process.env['PORT'] ?? 3000))
console.log(await app.getUrl())
