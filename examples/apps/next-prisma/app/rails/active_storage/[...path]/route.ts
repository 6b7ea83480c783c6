import { storage } from '../../../../lib/storage.ts'

const { handler } = storage
export { handler as GET, handler as HEAD, handler as PUT, handler as POST, handler as DELETE }
