import { defineConfig } from '@adonisjs/core/app'

export default defineConfig({
  commands: [() => import('@adonisjs/core/commands'), () => import('@adonisjs/lucid/commands')],
  providers: [
    () => import('@adonisjs/core/providers/app_provider'),
    () => import('@adonisjs/core/providers/hash_provider'),
    () => import('@adonisjs/lucid/database_provider'),
    { file: () => import('#providers/storage_provider'), environment: ['web'] },
  ],
  preloads: [
    { file: () => import('#start/kernel'), environment: ['web'] },
    () => import('#start/routes'),
  ],
})
