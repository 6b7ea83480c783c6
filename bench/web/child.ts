import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A server in a process of its own. */
export interface Child {
  readonly process: ChildProcess
  readonly pid: number
  readonly url: string
}

/** Starts a file that calls `serve`. */
export async function start(file: string, args: readonly string[]): Promise<Child> {
  const child = fork(file, args)
  const port = await Promise.race([
    once(child, 'message').then(([first]) => Number(first)),
    once(child, 'exit').then(() => null),
  ])
  if (port === null || child.pid === undefined)
    throw new Error(`The server ${args.join(' ')} did not start.`)
  return { process: child, pid: child.pid, url: `http://127.0.0.1:${port}` }
}

/** In the child: listens, says where, and ends with its parent. */
export async function serve(listen: RequestListener): Promise<void> {
  const server = createServer({ requestTimeout: 0 }, listen).listen(0, '127.0.0.1')
  await once(server, 'listening')
  process.once('disconnect', () => process.exit())
  process.send?.((server.address() as AddressInfo).port)
}
