import { readFileSync } from 'node:fs'
import * as nodeModule from 'node:module'
import { pathToFileURL } from 'node:url'
import { ConfigurationError } from '../errors/errors.ts'

/**
 * Throws ConfigurationError where the app has `name` in a version older than `caller` works with. `told` is the version that
 * the app's own object tells, if it does; else the package's own word counts. What cannot be told is taken.
 */
export function requireVersion(caller: string, name: string, oldest: string, told?: unknown): void {
  const versions = typeof told === 'string' ? [told] : readInstalledVersions(name)
  const [found] = versions
  if (found === undefined || versions.some((version) => !isOlder(version, oldest))) return
  throw new ConfigurationError(
    `${caller} needs ${name} ${oldest} or newer, and this app has ${found}: npm install ${name}@latest.`,
  )
}

/** As this package finds it, and as the app does: in a monorepo they may differ. */
function readInstalledVersions(name: string): readonly string[] {
  const [, main] = process.argv
  return [import.meta.url, ...(main === undefined ? [] : [pathToFileURL(main).href])].flatMap(
    (base) => {
      try {
        // Not every runtime has it.
        const path = nodeModule.findPackageJSON?.(name, base)
        return path === undefined
          ? []
          : [String((JSON.parse(readFileSync(path, 'utf8')) as { version?: unknown }).version)]
      } catch {
        return []
      }
    },
  )
}

/** A pre-release counts as what it leads to. */
function isOlder(version: string, oldest: string): boolean {
  const [left, right] = [version, oldest].map((text) =>
    /^(\d+)\.(\d+)\.(\d+)/.exec(text)?.slice(1).map(Number),
  ) as [number[]?, number[]?]
  if (left === undefined || right === undefined) return false
  const differing = left.findIndex((part, index) => part !== right[index])
  return differing >= 0 && left[differing]! < right[differing]!
}
