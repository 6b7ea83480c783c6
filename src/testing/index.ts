export { memory, type MemoryService } from '../services/memory.ts'
export { serviceContract, type ServiceContractOptions } from './contracts/service.ts'
export { faulty, type FaultyService } from './faulty.ts'
export { testStorage, type TestStorage, type TestStorageOptions } from './test-storage.ts'
