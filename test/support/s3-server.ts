// The S3 server of the tests: Ceph's gateway if installed, else one in this process.
import { startFauxqs } from 'fauxqs'
import { absent } from './required-services.ts'
import { startRadosgw } from './radosgw.ts'

export interface S3Server {
  readonly endpoint: string
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string }
  /** Why it checks neither signatures nor digests, as S3 does; null: it checks both. */
  readonly lenient: string | null
  stop(): Promise<void>
}

/** `TEST_S3=in-process` asks for the one in this process. */
export async function startS3(): Promise<S3Server> {
  const gateway = await startGateway()
  if (typeof gateway !== 'string') return { ...gateway, lenient: null }
  absent('s3', gateway)
  const server = await startFauxqs({ port: 0, host: '127.0.0.1', logger: false })
  return {
    endpoint: `http://127.0.0.1:${server.port}`,
    credentials: { accessKeyId: 'tests', secretAccessKey: 'tests' },
    lenient: `${gateway}; the server in this process checks no signature and no digest`,
    stop: () => server.stop(),
  }
}

/** A text says why it is not to be had. */
async function startGateway(): Promise<Omit<S3Server, 'lenient'> | string> {
  if (process.env.TEST_S3 === 'in-process') return 'TEST_S3 asks for no radosgw'
  // Once more on other ports: what was free when they were chosen may be taken when its daemons get
  // there.
  const started = await startRadosgw().catch(() => startRadosgw().catch((error: unknown) => error))
  if (started instanceof Error) return `radosgw is installed and did not start: ${started.message}`
  return (
    (started as Awaited<ReturnType<typeof startRadosgw>>) ??
    'no radosgw is installed (Debian: apt-get install radosgw ceph-mon ceph-osd)'
  )
}
