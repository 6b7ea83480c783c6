import {
  Inject,
  type BeforeApplicationShutdown,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type OnModuleInit,
} from '@nestjs/common'
import { HttpAdapterHost } from '@nestjs/core'
import type { Worker } from '../background/worker.ts'
import { skipFormParsing, mount, type MountedHandler } from './mount.ts'
import { MODULE_OPTIONS, type ActiveStorageModuleOptions, type ModuleStorage } from './options.ts'
import { ACTIVE_STORAGE } from './token.ts'

/** The storage, from the app's start to its end. */
export class StorageLifecycle
  implements OnModuleInit, OnApplicationBootstrap, BeforeApplicationShutdown, OnApplicationShutdown
{
  readonly #storage: ModuleStorage
  readonly #options: ActiveStorageModuleOptions
  readonly #host: HttpAdapterHost
  #mounted: MountedHandler | undefined
  #worker: Worker | undefined

  constructor(storage: ModuleStorage, options: ActiveStorageModuleOptions, host: HttpAdapterHost) {
    this.#storage = storage
    this.#options = options
    this.#host = host
    // Now, or under Nest's testing module as soon as there is an app: in either case before Nest's own parsers of bodies.
    if (options.mount !== false)
      host.init$.subscribe(() => (this.#mounted = mount(storage, host.httpAdapter)))
  }

  onModuleInit(): void {
    skipFormParsing(this.#host.httpAdapter)
  }

  onApplicationBootstrap(): void {
    const { work = false } = this.#options
    if (work !== false) this.#worker = this.#storage.work(work === true ? {} : work)
  }

  /** What runs is waited for while the app's connections are there: they may go in the next step. */
  async beforeApplicationShutdown(): Promise<void> {
    await this.#worker?.stop()
    this.#mounted?.endStreams()
  }

  /** No request is being answered any more. */
  async onApplicationShutdown(): Promise<void> {
    await this.#storage.close()
  }
}
Inject(ACTIVE_STORAGE)(StorageLifecycle, undefined, 0)
Inject(MODULE_OPTIONS)(StorageLifecycle, undefined, 1)
Inject(HttpAdapterHost)(StorageLifecycle, undefined, 2)
