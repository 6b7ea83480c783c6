import { Secret } from '@adonisjs/core/helpers'
import { defineConfig } from '@adonisjs/core/http'

export const appKey = new Secret(process.env.APP_KEY ?? 'only for this example, 32 chars.')
export const http = defineConfig({})
