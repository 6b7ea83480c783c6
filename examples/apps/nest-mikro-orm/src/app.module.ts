import { MikroORM } from '@mikro-orm/core'
import { MikroOrmModule } from '@mikro-orm/nestjs'
import { Module, type OnModuleInit } from '@nestjs/common'
import { ActiveStorageModule } from 'activestorage-delayed/nestjs'
import config from './mikro-orm.config.js'
import { createStorage } from './storage.js'
import { UsersController } from './users/users.controller.js'

@Module({
  imports: [
    MikroOrmModule.forRoot(config),
    ActiveStorageModule.forRootAsync({
      inject: [MikroORM],
      useFactory: (orm: MikroORM) => ({ storage: createStorage(orm), migrate: true, work: true }),
    }),
  ],
  controllers: [UsersController],
})
export class AppModule implements OnModuleInit {
  constructor(private readonly orm: MikroORM) {}

  async onModuleInit(): Promise<void> {
    await this.orm.schema.update()
  }
}
