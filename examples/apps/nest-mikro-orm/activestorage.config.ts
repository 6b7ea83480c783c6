// The command line reads the built files, because plain Node reads no decorators.
import { MikroORM } from '@mikro-orm/sqlite'
import config from './dist/mikro-orm.config.js'
import { createStorage } from './dist/storage.js'

export const storage = createStorage(await MikroORM.init(config))
