import { EntityManager } from '@mikro-orm/core'
import {
  BadRequestException,
  Body,
  Controller,
  Get,
  Post,
  Redirect,
  UploadedFiles,
  UseInterceptors,
} from '@nestjs/common'
import type { FilesByName } from 'activestorage-delayed'
import { FormInterceptor } from 'activestorage-delayed/nestjs'
import { User, type userAttachments } from './user.entity.js'
import { usersPage } from './users.page.js'

@Controller()
export class UsersController {
  constructor(private readonly em: EntityManager) {}

  @Get()
  async list(): Promise<string> {
    return usersPage(await this.em.findAll(User, { orderBy: { id: 'asc' } }))
  }

  @Post('users')
  @UseInterceptors(FormInterceptor('User'))
  @Redirect('/', 303)
  async create(
    @Body('name') name: string,
    @UploadedFiles() { photo, certificates }: FilesByName<typeof userAttachments>,
  ): Promise<void> {
    if (!name) throw new BadRequestException('A user needs a name.')
    this.em.create(User, { name, photoTmp: photo, certificatesTmp: certificates })
    await this.em.flush()
  }
}
