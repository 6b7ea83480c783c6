// The command line boots the built app, which does not listen.
import { ignitor } from './build/bin/ignitor.js'

const app = ignitor().createApp('console')
await app.init()
await app.boot()
export const { storage } = await import('./build/app/services/storage.js')
