export type { Mountable } from '../mountable.ts'
export { nodeHandler } from '../node-handler.ts'
