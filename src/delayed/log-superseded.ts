import { publishSuperseded } from '../diagnostics/tracing.ts'
import type { Log } from '../diagnostics/log.ts'
import type { UploadRow } from './upload-rows.ts'

/** An upload that ends because of something newer ends visibly: on the diagnostics channel, and in the log. */
export function logSuperseded(report: Log, { lane, token }: UploadRow, text: string): void {
  const message = { record: { type: lane.type, id: lane.id }, attachment: lane.name, upload: token }
  publishSuperseded(message)
  report('info', text, message)
}
