// The S3 server of the tests: Ceph's gateway where it is installed, else one in this process.
import { startFauxqs } from 'fauxqs'
import { startRadosgw } from './radosgw.ts'

export interface S3Server {
  readonly endpoint: string
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string }
  /** Checks signatures and digests, as S3 does. */
  readonly strict: boolean
  stop(): Promise<void>
}

/** `TEST_S3=in-process` asks for the one in this process. */
export async function startS3(): Promise<S3Server> {
  const gateway = process.env.TEST_S3 === 'in-process' ? null : await startRadosgw().catch(notStarted)
  if (gateway !== null) return { ...gateway, strict: true }
  const server = await startFauxqs({ port: 0, host: '127.0.0.1', logger: false })
  return {
    endpoint: `http://127.0.0.1:${server.port}`,
    credentials: { accessKeyId: 'tests', secretAccessKey: 'tests' },
    strict: false,
    stop: () => server.stop(),
  }
}

function notStarted(error: unknown): null {
  console.error("Ceph's gateway is installed and does not start; the server in this process takes its place:", error)
  return null
}
