// A real S3 server that checks signatures and digests: Ceph's gateway in memory, if installed.
import { execFile as execFileWithCallback, spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { S3Server } from './s3-server.ts'
import { freePort } from './free-port.ts'

const execFile = promisify(execFileWithCallback)

/**
 * Null: Ceph's gateway, monitor and OSD are not installed (Debian: radosgw, ceph-mon, ceph-osd).
 */
export async function startRadosgw(): Promise<Omit<S3Server, 'lenient'> | null> {
  for (const program of ['radosgw', 'radosgw-admin', 'ceph-mon', 'ceph-osd', 'ceph', 'monmaptool'])
    if (spawnSync(program, ['--version']).error !== undefined) return null
  const folder = await mkdtemp(join(tmpdir(), 'radosgw-'))
  const [monitor, gateway] = [await freePort(), await freePort()]
  const fsid = crypto.randomUUID()
  const conf = join(folder, 'ceph.conf')
  await Promise.all(['mon', 'osd', 'run', 'rgw'].map((name) => mkdir(join(folder, name))))
  await writeFile(conf, configuration(folder, fsid, monitor, gateway))
  const run = (program: string, ...args: string[]) =>
    execFile(program, ['-c', conf, ...args], {
      timeout: 30_000,
      env: { ...process.env, CEPH_CONF: conf },
    })
  const stop = async (): Promise<void> => {
    for (const name of ['client.rgw', 'osd.0', 'mon.a']) {
      const pid = await readFile(join(folder, 'run', `${name}.pid`), 'utf8').catch(() => '')
      if (pid.trim() !== '') {
        try {
          process.kill(Number(pid), 'SIGKILL')
        } catch {
          // It has already ended.
        }
      }
    }
    await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
  }
  try {
    await writeFile(join(folder, 'keyring'), '')
    await execFile('monmaptool', [
      '--create',
      '--clobber',
      '--addv',
      'a',
      `[v1:127.0.0.1:${monitor}]`,
      '--fsid',
      fsid,
      join(folder, 'monmap'),
    ])
    await run('ceph-mon', '--mkfs', '-i', 'a', '--monmap', join(folder, 'monmap'))
    await run('ceph-mon', '-i', 'a')
    const osd = crypto.randomUUID()
    await run('ceph', 'osd', 'create', osd)
    await run('ceph', 'osd', 'crush', 'add', 'osd.0', '1.0', 'root=default', 'host=h')
    await run('ceph-osd', '-i', '0', '--mkfs', '--osd-uuid', osd)
    await run('ceph-osd', '-i', '0')
    await run('radosgw', '-n', 'client.rgw')
    const credentials = {
      accessKeyId: 'AKIATESTS00000000000',
      secretAccessKey: 'a-secret-of-the-tests-0000000000000000000',
    }
    await run(
      'radosgw-admin',
      '-n',
      'client.rgw',
      'user',
      'create',
      '--uid=tests',
      '--display-name=tests',
      `--access-key=${credentials.accessKeyId}`,
      `--secret-key=${credentials.secretAccessKey}`,
    )
    const endpoint = `http://127.0.0.1:${gateway}`
    while (
      !(await fetch(endpoint).then(
        (answer) => answer.ok,
        () => false,
      ))
    )
      await delay(50)
    return { endpoint, credentials, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

function configuration(folder: string, fsid: string, monitor: number, gateway: number): string {
  return `[global]
fsid = ${fsid}
mon_initial_members = a
mon_host = v1:127.0.0.1:${monitor}
public_addr = 127.0.0.1
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pgp_num = 4
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
osd_crush_chooseleaf_type = 0
ms_bind_msgr2 = false
run_dir = ${folder}/run
admin_socket = ${folder}/run/$name.asok
log_file = ${folder}/$name.log
pid_file = ${folder}/run/$name.pid
keyring = ${folder}/keyring
mon_data = ${folder}/mon
osd_data = ${folder}/osd
osd_objectstore = memstore
memstore_device_bytes = 2147483648
rgw_frontends = beast endpoint=127.0.0.1:${gateway}
rgw_data = ${folder}/rgw
setuser_match_path = /
`
}
