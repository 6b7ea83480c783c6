import {
  Inject,
  type BeforeApplicationShutdown,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type OnModuleInit,
} from '@nestjs/common'
import { HttpAdapterHost } from '@nestjs/core'
import type { Worker } from '../background/worker.ts'
import { leaveForms, mount, type Mounted } from './mount.ts'
import { OPTIONS, type ActiveStorageModuleOptions, type AnyStorage } from './options.ts'
import { ACTIVE_STORAGE } from './token.ts'

/** The storage, from the app's start to its end. */
export class StorageOfApp
  implements OnModuleInit, OnApplicationBootstrap, BeforeApplicationShutdown, OnApplicationShutdown
{
  readonly #storage: AnyStorage
  readonly #options: ActiveStorageModuleOptions
  readonly #host: HttpAdapterHost
  #mounted: Mounted | undefined
  #worker: Worker | undefined

  constructor(storage: AnyStorage, options: ActiveStorageModuleOptions, host: HttpAdapterHost) {
    this.#storage = storage
    this.#options = options
    this.#host = host
    // Now, or under Nest's testing module as soon as there is an app: in either case before Nest's own parsers of bodies.
    if (options.mount !== false)
      host.init$.subscribe(() => (this.#mounted = mount(storage, host.httpAdapter)))
  }

  onModuleInit(): void {
    leaveForms(this.#host.httpAdapter)
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
Inject(ACTIVE_STORAGE)(StorageOfApp, undefined, 0)
Inject(OPTIONS)(StorageOfApp, undefined, 1)
Inject(HttpAdapterHost)(StorageOfApp, undefined, 2)
