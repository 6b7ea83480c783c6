import { defineConfig } from '@adonisjs/core/bodyparser'

export default defineConfig({
  // The storage reads these forms: files are staged while they come in, and are never in a folder for temporary ones.
  multipart: { processManually: ['/users'] },
})
