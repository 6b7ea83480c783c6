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

/** Mounts the storage at the app's start, runs its worker, and closes both at the app's end. */
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
    // Runs now, or when Nest's testing module creates the app; in both cases before Nest's own
    // parsers of bodies.
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

  /** Waits for running tasks while the app's connections are open. The next step may close them. */
  async beforeApplicationShutdown(): Promise<void> {
    await this.#worker?.stop()
    this.#mounted?.endStreams()
  }

  /** Runs when the server has answered all requests. */
  async onApplicationShutdown(): Promise<void> {
    await this.#storage.close()
  }
}
Inject(ACTIVE_STORAGE)(StorageLifecycle, undefined, 0)
Inject(MODULE_OPTIONS)(StorageLifecycle, undefined, 1)
Inject(HttpAdapterHost)(StorageLifecycle, undefined, 2)
