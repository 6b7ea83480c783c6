import { spawn, spawnSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Child } from './child.ts'
import { freePort } from '../../test/support/free-port.ts'

const command = ['nginx', '/usr/sbin/nginx'].find(
  (each) => spawnSync(each, ['-v']).error === undefined,
)

/** One process of nginx that serves a folder, as it does at its best; null: it is not here. */
export async function startNginx(folder: string, scratch: string): Promise<Child | null> {
  if (command === undefined) return null
  const port = await freePort()
  const path = join(scratch, 'nginx.conf')
  await writeFile(
    path,
    `daemon off; master_process off; pid ${scratch}/nginx.pid; error_log stderr crit;
events { worker_connections 1024; }
http {
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; default_type application/octet-stream;
  client_body_temp_path ${scratch}/body; proxy_temp_path ${scratch}/proxy; fastcgi_temp_path ${scratch}/fastcgi;
  uwsgi_temp_path ${scratch}/uwsgi; scgi_temp_path ${scratch}/scgi;
  server { listen 127.0.0.1:${port}; root ${folder}; }
}
`,
  )
  const child = spawn(command, ['-c', path, '-p', scratch], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const url = `http://127.0.0.1:${port}`
  while ((await fetch(url).catch(() => null)) === null) {
    if (child.exitCode !== null) throw new Error('nginx did not start.')
    await delay(20)
  }
  return { process: child, pid: Number(child.pid), url }
}
