import type { Session } from '../database/session.ts'
import { insertJob } from '../jobs/job-transitions.ts'

/** Name of the job that purges a blob. Its argument is `blob`, the blob's id. */
export const PURGE_JOB = 'purge'

/** Writes a job that purges the blob once nothing is attached to it any more. */
export async function purgeBlobLater(session: Session, blobId: string): Promise<void> {
  await insertJob(session, { name: PURGE_JOB, args: { blob: blobId } })
}
