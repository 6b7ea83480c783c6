export { memory, type MemoryService } from '../services/memory.ts'
export type { TestClock } from './clock.ts'
export { databaseContract, type DatabaseContractOptions } from './contracts/database.ts'
export { ormContract, type OrmContractOptions } from './contracts/orm.ts'
export {
  ormModels,
  type OrmApp,
  type OrmFiles,
  type OrmUnsavedRecord,
} from './contracts/orm-app.ts'
export { jobEngineContract, type JobEngineContractOptions } from './contracts/job-engine.ts'
export { serviceContract, type ServiceContractOptions } from './contracts/service.ts'
export { faulty, type FaultyService } from './faulty.ts'
export { killAt, killPoints, type KillPoint } from './kill.ts'
export { testStorage, type TestStorage, type TestStorageOptions } from './test-storage.ts'
