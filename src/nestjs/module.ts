import { Module, type DynamicModule } from '@nestjs/common'
import { APP_INTERCEPTOR } from '@nestjs/core'
import { requireVersion } from '../options/require-version.ts'
import { checkOptions } from '../options/check-options.ts'
import { PublicErrorInterceptor } from './public-error-interceptor.ts'
import {
  MODULE_OPTIONS,
  type ActiveStorageModuleAsyncOptions,
  type ActiveStorageModuleOptions,
} from './options.ts'
import { StorageLifecycle } from './storage-lifecycle.ts'
import { ACTIVE_STORAGE } from './token.ts'

/**
 * Injects the storage everywhere in the app, serves its files, runs its worker and closes it.
 * Throws ConfigurationError for Nest before 11.0.
 */
export class ActiveStorageModule {
  /**
   * Creates the module for a storage that exists already.
   *
   * @example
   * import { Module } from '@nestjs/common'
   * import { ActiveStorageModule } from 'activestorage-delayed/nestjs'
   *
   * class AppModule {}
   * Module({ imports: [ActiveStorageModule.forRoot({ storage, work: true })] })(AppModule) // @Module({ … })
   */
  static forRoot(options: ActiveStorageModuleOptions): DynamicModule {
    return this.forRootAsync({ useFactory: () => options })
  }

  /**
   * Creates the module for a storage that needs something injected: the app's configuration, or the
   * connection of its ORM.
   *
   * @example
   * import { Module } from '@nestjs/common'
   * import { ActiveStorageModule } from 'activestorage-delayed/nestjs'
   * import { typeorm } from 'activestorage-delayed/typeorm'
   * import { DataSource } from 'typeorm'
   *
   * class AppModule {}
   * Module({
   *   imports: [
   *     ActiveStorageModule.forRootAsync({
   *       inject: [DataSource],
   *       useFactory: (source: DataSource) => ({ storage: createActiveStorage({ database: typeorm(source), services, models }) }),
   *     }),
   *   ],
   * })(AppModule)
   */
  static forRootAsync({
    imports = [],
    inject = [],
    useFactory,
  }: ActiveStorageModuleAsyncOptions): DynamicModule {
    requireVersion('ActiveStorageModule', '@nestjs/core', '11.0.0')
    return {
      module: ActiveStorageModule,
      global: true,
      imports,
      providers: [
        StorageLifecycle,
        { provide: APP_INTERCEPTOR, useClass: PublicErrorInterceptor },
        { provide: MODULE_OPTIONS, inject, useFactory },
        {
          provide: ACTIVE_STORAGE,
          inject: [MODULE_OPTIONS],
          async useFactory(options: ActiveStorageModuleOptions) {
            checkOptions(options, ['storage', 'work', 'migrate', 'mount'], 'ActiveStorageModule')
            if (options.migrate === true) await options.storage.migrate()
            return options.storage
          },
        },
      ],
      exports: [ACTIVE_STORAGE],
    }
  }
}
Module({})(ActiveStorageModule)
