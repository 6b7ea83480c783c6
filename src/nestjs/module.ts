import {
  Inject,
  Module,
  type BeforeApplicationShutdown,
  type DynamicModule,
  type FactoryProvider,
  type ModuleMetadata,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type OnModuleInit,
} from '@nestjs/common'
import { HttpAdapterHost } from '@nestjs/core'
import type { Models } from '../attached/definitions.ts'
import type { Worker, WorkerOptions } from '../background.ts'
import { checkOptions } from '../options.ts'
import type { ActiveStorage } from '../storage.ts'
import { leaveForms, mount, type Mounted } from './mount.ts'
import { ACTIVE_STORAGE } from './token.ts'

/** What of a storage does not depend on its models. */
type AnyStorage = Pick<ActiveStorage<Models, never>, 'basePath' | 'close' | 'handler' | 'migrate' | 'work'>

/** Of `ActiveStorageModule`. */
export interface ActiveStorageModuleOptions {
  /** Injected by `@InjectActiveStorage()`; closed when the app shuts down. */
  readonly storage: AnyStorage
  /** Whether a worker runs in this process, and how. Default: false. */
  readonly work?: boolean | WorkerOptions
  /** Whether `migrate` runs before the storage is injected anywhere. Default: false. */
  readonly migrate?: boolean
  /**
   * Whether the storage's handler answers what is below its `basePath`. Default: true. It comes before all that the app
   * mounts, CORS and parsers of bodies among it, and guards do not see it: `authorize` says who may see what.
   */
  readonly mount?: boolean
}

/** Of `ActiveStorageModule.forRootAsync`: what a provider with a factory takes. */
export interface ActiveStorageModuleAsyncOptions
  extends Pick<ModuleMetadata, 'imports'>, Pick<FactoryProvider<ActiveStorageModuleOptions>, 'inject' | 'useFactory'> {}

const OPTIONS = Symbol('ActiveStorageModuleOptions')

/** Opens the storage to the app: injects it everywhere, serves its files, runs its worker, closes it. */
export class ActiveStorageModule implements OnModuleInit, OnApplicationBootstrap, BeforeApplicationShutdown, OnApplicationShutdown {
  readonly #storage: AnyStorage
  readonly #options: ActiveStorageModuleOptions
  readonly #host: HttpAdapterHost
  #mounted: Mounted | undefined
  #worker: Worker | undefined

  /** @internal */
  constructor(storage: AnyStorage, options: ActiveStorageModuleOptions, host: HttpAdapterHost) {
    this.#storage = storage
    this.#options = options
    this.#host = host
    // Now, or under Nest's testing module as soon as there is an app: in either case before Nest's own parsers of bodies.
    if (options.mount !== false) host.init$.subscribe(() => (this.#mounted = mount(storage, host.httpAdapter)))
  }

  /**
   * Of a storage that is there already.
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
   * Of a storage that is made of what the app injects: its configuration, or the connection of its ORM.
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
  static forRootAsync({ imports = [], inject = [], useFactory }: ActiveStorageModuleAsyncOptions): DynamicModule {
    return {
      module: ActiveStorageModule,
      global: true,
      imports,
      providers: [
        { provide: OPTIONS, inject, useFactory },
        {
          provide: ACTIVE_STORAGE,
          inject: [OPTIONS],
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

  /** @internal */
  onModuleInit(): void {
    leaveForms(this.#host.httpAdapter)
  }

  /** @internal */
  onApplicationBootstrap(): void {
    const { work = false } = this.#options
    if (work !== false) this.#worker = this.#storage.work(work === true ? {} : work)
  }

  /** What runs is waited for while the app's connections are there: they may go in the next step. @internal */
  async beforeApplicationShutdown(): Promise<void> {
    await this.#worker?.stop()
    this.#mounted?.endStreams()
  }

  /** No request is being answered any more. @internal */
  async onApplicationShutdown(): Promise<void> {
    await this.#storage.close()
  }
}
Module({})(ActiveStorageModule)
Inject(ACTIVE_STORAGE)(ActiveStorageModule, undefined, 0)
Inject(OPTIONS)(ActiveStorageModule, undefined, 1)
Inject(HttpAdapterHost)(ActiveStorageModule, undefined, 2)
