import { mkdirSync, writeFileSync } from 'node:fs'
import { arch, cpus, totalmem } from 'node:os'

export interface Row {
  readonly [column: string]: string | number
}

/** Prints rows under each other and keeps them as JSON, so that runs can be compared. */
export function report(name: string, rows: readonly Row[]): void {
  const machine = `${cpus()[0]?.model.trim() ?? 'unknown'}, ${cpus().length} cores, ${Math.round(totalmem() / 1024 ** 3)} GB, ${arch()}, Node ${process.version}`
  console.log(`\n${name} (${machine})`)
  console.table(rows)
  mkdirSync('bench/results', { recursive: true })
  writeFileSync(
    `bench/results/${name.replaceAll(/\W+/g, '-')}.json`,
    `${JSON.stringify({ name, machine, at: new Date(), rows }, null, 2)}\n`,
  )
}

/** Milliseconds: the median of `times` runs. */
export async function median(times: number, run: () => Promise<unknown>): Promise<number> {
  const taken: number[] = []
  for (let index = 0; index < times; index += 1) {
    const started = performance.now()
    await run()
    taken.push(performance.now() - started)
  }
  return middle(taken)
}

export function middle(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
}

export const sizes = {
  '1 KB': 1024,
  '100 KB': 102_400,
  '1 MB': 1024 ** 2,
  '10 MB': 10 * 1024 ** 2,
  '100 MB': 100 * 1024 ** 2,
} as const

export function bytesOf(size: number): () => AsyncGenerator<Uint8Array> {
  const piece = Buffer.alloc(Math.min(size, 65_536), 'abcdefghijklm')
  return async function* () {
    for (let left = size; left > 0; left -= piece.length)
      yield left >= piece.length ? piece : piece.subarray(0, left)
  }
}

export const ratio = (floor: number, ours: number): number => Number((floor / ours).toFixed(2))
