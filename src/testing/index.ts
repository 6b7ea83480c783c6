export { memory, type MemoryService } from '../services/memory.ts'
export { serviceContract, type ServiceContractOptions } from './contracts/service.ts'
