import 'reflect-metadata'
import type { AddressInfo } from 'node:net'
import { prettyPrintError } from '@adonisjs/core'
import { ignitor } from './ignitor.js'

ignitor()
  .tap((app) => {
    app.listen('SIGTERM', () => app.terminate())
    app.listen('SIGINT', () => app.terminate())
    app.ready(async () => {
      const server = await app.container.make('server')
      const address = server.getNodeServer()?.address() as AddressInfo | null
      if (address) console.log(`http://localhost:${address.port}`)
    })
  })
  .httpServer()
  .start()
  .catch((error) => {
    process.exitCode = 1
    prettyPrintError(error)
  })
