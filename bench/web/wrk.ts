import { execFile, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** What came of a load. */
export interface Load {
  readonly 'req/s': number
  readonly 'MB/s': number
}

export const hasWrk = spawnSync('wrk', ['-v']).error === undefined

/** Asks for `url` over and over for some seconds. Throws if an answer was a refusal, or none. */
export async function wrk(
  url: string,
  {
    seconds,
    connections,
    headers = {},
  }: { seconds: number; connections: number; headers?: Readonly<Record<string, string>> },
): Promise<Load> {
  const given = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
  const { stdout } = await promisify(execFile)('wrk', [
    '-t1',
    `-c${connections}`,
    `-d${seconds}s`,
    '--timeout',
    '60s',
    '-s',
    join(import.meta.dirname, 'wrk.lua'),
    ...given,
    url,
  ])
  const counted = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Record<
    'requests' | 'bytes' | 'microseconds' | 'refused' | 'broken',
    number
  >
  if (counted.refused + counted.broken > 0)
    throw new Error(`${url}: ${counted.refused} refused, ${counted.broken} broken off.`)
  const taken = counted.microseconds / 1e6
  return { 'req/s': counted.requests / taken, 'MB/s': counted.bytes / 1024 ** 2 / taken }
}
