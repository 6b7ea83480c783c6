import type { FactoryProvider, ModuleMetadata } from '@nestjs/common'
import type { Models } from '../attached/definitions.ts'
import type { WorkerOptions } from '../background/worker.ts'
import type { ActiveStorage } from '../storage/active-storage.ts'

/** What of a storage does not depend on its models. */
export type ModuleStorage = Pick<
  ActiveStorage<Models, never>,
  'basePath' | 'close' | 'handler' | 'migrate' | 'work'
>

/** Of `ActiveStorageModule`. */
export interface ActiveStorageModuleOptions {
  /** Injected by `@InjectActiveStorage()`; closed when the app shuts down. */
  readonly storage: ModuleStorage
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
  extends
    Pick<ModuleMetadata, 'imports'>,
    Pick<FactoryProvider<ActiveStorageModuleOptions>, 'inject' | 'useFactory'> {}

/** What they are injected by. */
export const MODULE_OPTIONS: unique symbol = Symbol('ActiveStorageModuleOptions')
