import type { FactoryProvider, ModuleMetadata } from '@nestjs/common'
import type { Models } from '../attached/definitions.ts'
import type { WorkerOptions } from '../background/worker.ts'
import type { ActiveStorage } from '../storage/active-storage.ts'

/** Members of a storage that do not depend on its models. */
export type ModuleStorage = Pick<
  ActiveStorage<Models, never>,
  'basePath' | 'close' | 'handler' | 'migrate' | 'work'
>

/** Options of `ActiveStorageModule`. */
export interface ActiveStorageModuleOptions {
  /** Injected by `@InjectActiveStorage()`; closed when the app shuts down. */
  readonly storage: ModuleStorage
  /** Runs a worker in this process, with these options. Default: false. */
  readonly work?: boolean | WorkerOptions
  /** Runs `migrate` before the storage is injected anywhere. Default: false. */
  readonly migrate?: boolean
  /**
   * Mounts the storage's handler below its `basePath`. Default: true. The handler comes before all
   * middleware of the app, also before CORS and parsers of bodies, and guards do not apply to it:
   * `authorize` decides who may see a file.
   */
  readonly mount?: boolean
}

/** Options of `ActiveStorageModule.forRootAsync`, as for any provider with a factory. */
export interface ActiveStorageModuleAsyncOptions
  extends
    Pick<ModuleMetadata, 'imports'>,
    Pick<FactoryProvider<ActiveStorageModuleOptions>, 'inject' | 'useFactory'> {}

/** Injection token of the module's options. */
export const MODULE_OPTIONS: unique symbol = Symbol('ActiveStorageModuleOptions')
