import { purgeJob } from '../attachments/purge.ts'
import { deleteObjectJob } from '../delayed/delete-object.ts'
import type { WorkContext } from '../delayed/upload-work.ts'
import type { JobDefinition } from '../jobs/job-source.ts'

/**
 * All kinds of jobs that workers run. A new kind is declared in the folder that owns it and added
 * here.
 */
export const jobDefinitions: readonly JobDefinition<WorkContext>[] = [purgeJob, deleteObjectJob]
