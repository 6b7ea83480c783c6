import { findBlob } from '../blobs/blob-rows.ts'
import { DELETE_OBJECT_JOB } from '../blobs/object-intents.ts'
import type { Store } from '../database/store.ts'
import { ConfigurationError, ServiceUnavailableError } from '../errors/errors.ts'
import type { JobRow } from '../jobs/job-rows.ts'
import { LEASE_MS } from '../jobs/leases.ts'
import { runJob, type JobDefinition } from '../jobs/job-source.ts'
import { claimJobs, finishJob } from '../jobs/job-transitions.ts'
import type { Log } from '../diagnostics/log.ts'
import type { Service } from '../services/service.ts'
import { runWithPermit } from './concurrency-limits.ts'
import type { WorkContext } from './upload-work.ts'

/** The delay of a deletion whose object an unfinished upload may still attach. */
const RETRY_AFTER_MS = 3_600_000

/** The job that deletes an object, with a permit of the object's service. */
export const deleteObjectJob: JobDefinition<WorkContext> = {
  name: DELETE_OBJECT_JOB,
  run: ({ context, permits }, job, signal) =>
    runWithPermit(permits, job.arguments['service'] ?? '', () =>
      deleteObject(context.store, context.services, job, signal),
    ),
}

/**
 * Deletes an object, unless a blob or an unfinished upload has its key. The job's claim is
 * committed before, so that nothing can attach the object from then on. Returns the milliseconds to
 * postpone the job; null: it is done. Throws ConfigurationError if the service is not configured.
 */
async function deleteObject(
  store: Store,
  services: Readonly<Record<string, Service>>,
  job: JobRow,
  signal: AbortSignal,
): Promise<number | null> {
  const { service = '', key = '' } = job.arguments
  if (await finishIfKept(store, job, key)) return null
  const holder = await store.session.db
    .selectFrom('files as f')
    .innerJoin('uploads as u', 'u.token', 'f.upload_token')
    .select('f.id')
    .where('f.blob_key', '=', key)
    .where('f.state', 'in', ['staged', 'failed'])
    .where('u.state', 'in', ['pending', 'running', 'failed'])
    .executeTakeFirst()
  if (holder !== undefined) return RETRY_AFTER_MS
  const target = services[service]
  if (target === undefined)
    throw new ConfigurationError(
      `The object ${key} cannot be deleted: its service '${service}' is not configured.`,
    )
  await target.delete(key, { signal })
  return null
}

/**
 * Deletes the objects of purged blobs at once, without a worker. `keys`: of their jobs. A job whose
 * deletion fails or is aborted stays for a worker. Never throws an error of the service.
 */
export async function deleteObjectsNow(
  store: Store,
  services: Readonly<Record<string, Service>>,
  keys: readonly string[],
  log: Log,
  signal?: AbortSignal,
): Promise<void> {
  for (const key of keys) {
    if (signal?.aborted === true) return
    const claim = { names: [DELETE_OBJECT_JOB], limit: 1, leaseFor: LEASE_MS, key }
    const [job] = await store.transact((session) => claimJobs(session, claim))
    if (job === undefined) continue
    const timeout = AbortSignal.timeout(LEASE_MS / 2)
    const ends = signal === undefined ? timeout : AbortSignal.any([timeout, signal])
    let isUnavailable = false
    await runJob(
      store,
      job,
      () => deleteObject(store, services, job, ends),
      (_job, error) => {
        isUnavailable = ends.aborted || error instanceof ServiceUnavailableError
        log(
          'warn',
          `The object ${job.arguments['key'] ?? ''} could not be deleted; a worker tries again.`,
          { job: job.id, error },
        )
      },
    )
    // The other objects of the same purge would wait as long.
    if (isUnavailable) return
  }
}

/**
 * Ends the job if a blob has the object. The blob's row is locked meanwhile, so that a purge that
 * begins then writes a job of its own.
 */
async function finishIfKept(store: Store, job: JobRow, key: string): Promise<boolean> {
  return store.transact(async (session) => {
    if ((await findBlob(session, { key }, { lock: true })) === null) return false
    await finishJob(session, job)
    return true
  })
}
