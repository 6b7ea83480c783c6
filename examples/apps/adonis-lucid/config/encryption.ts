import { defineConfig, drivers } from '@adonisjs/core/encryption'

const key = process.env.APP_KEY ?? 'only for this example: 32 letters'

export default defineConfig({
  default: 'app',
  list: { app: drivers.chacha20({ id: 'app', keys: [key] }) },
})
