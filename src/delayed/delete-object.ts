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
import type { WorkContext } from './work-sources.ts'

const RETRY_AFTER_MS = 3_600_000

/** The job that deletes an object, within the concurrency limit of the object's service. */
export const deleteObjectJob: JobDefinition<WorkContext> = {
  name: DELETE_OBJECT_JOB,
  run: ({ delayed, places }, job, signal) =>
    runWithPermit(places, job.arguments['service'] ?? '', () =>
      deleteObject(delayed.store, delayed.services, job, signal),
    ),
}

/**
 * Deletes an object whose blob is gone or was never written; never one that a blob or a living upload holds. The claim
 * of the job was committed before, so that nothing can attach the object from then on. Returns how long to put it off.
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
      `An object waits to be deleted from the service '${service}', which is not configured.`,
    )
  await target.delete(key, { signal })
  return null
}

/**
 * Deletes the objects of purged blobs, given the keys of their jobs, without waiting for a worker. A worker repeats what
 * fails or is aborted, because its job stays.
 */
export async function deleteObjectsNow(
  store: Store,
  services: Readonly<Record<string, Service>>,
  keys: readonly string[],
  report: Log,
  aborted?: AbortSignal,
): Promise<void> {
  for (const key of keys) {
    if (aborted?.aborted === true) return
    const claim = { names: [DELETE_OBJECT_JOB], limit: 1, leaseFor: LEASE_MS, key }
    const [job] = await store.transact((session) => claimJobs(session, claim))
    if (job === undefined) continue
    const timeout = AbortSignal.timeout(LEASE_MS / 2)
    const signal = aborted === undefined ? timeout : AbortSignal.any([timeout, aborted])
    let isAway = false
    await runJob(
      store,
      job,
      () => deleteObject(store, services, job, signal),
      (_job, error) => {
        isAway = signal.aborted || error instanceof ServiceUnavailableError
        report(
          'warn',
          `The object ${job.arguments['key'] ?? ''} could not be deleted; a worker tries again.`,
          { job: job.id, error },
        )
      },
    )
    // Who purges many files does not wait as long for each.
    if (isAway) return
  }
}

/**
 * A blob has the object: the job ends while the blob's row is locked, so that a purge which begins meanwhile writes a job
 * of its own instead of relying on this one.
 */
async function finishIfKept(store: Store, job: JobRow, key: string): Promise<boolean> {
  return store.transact(async (session) => {
    if ((await findBlob(session, { key }, { lock: true })) === null) return false
    await finishJob(session, job)
    return true
  })
}
