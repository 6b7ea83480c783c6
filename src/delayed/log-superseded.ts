import { describeLane } from '../attachments/lane.ts'
import type { Log } from '../diagnostics/log.ts'
import { publishSuperseded } from '../diagnostics/tracing.ts'
import type { UploadRow } from './upload-rows.ts'

/** Reports an upload that a newer change ended, on the diagnostics channel and in the log. */
export function logSuperseded(log: Log, { lane, token }: UploadRow, text: string): void {
  const message = { ...describeLane(lane), upload: token }
  publishSuperseded(message)
  log('info', text, message)
}
