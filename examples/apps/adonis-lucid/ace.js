// Commands, in development: TypeScript is compiled as it is loaded.
import '@poppinss/ts-exec'
await import('./bin/console.js')
