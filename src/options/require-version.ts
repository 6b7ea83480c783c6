import { readFileSync } from 'node:fs'
import * as nodeModule from 'node:module'
import { pathToFileURL } from 'node:url'
import { ConfigurationError } from '../errors/errors.ts'

/**
 * Throws ConfigurationError if the app has the package `name` in a version older than `oldest`.
 * `given` is the version that the app's own object reports; without one, the installed package is
 * asked. An unknown version passes.
 */
export function requireVersion(
  caller: string,
  name: string,
  oldest: string,
  given?: unknown,
): void {
  const versions = typeof given === 'string' ? [given] : readInstalledVersions(name)
  const [found] = versions
  if (found === undefined || versions.some((version) => !isOlder(version, oldest))) return
  throw new ConfigurationError(
    `${caller} needs ${name} ${oldest} or newer, and this app has ${found}: npm install ${name}@latest.`,
  )
}

/** Reads the versions that this package and the app resolve. They may differ in a monorepo. */
function readInstalledVersions(name: string): readonly string[] {
  const [, main] = process.argv
  return [import.meta.url, ...(main === undefined ? [] : [pathToFileURL(main).href])].flatMap(
    (base) => {
      try {
        // Bun and Deno may lack findPackageJSON.
        const path = nodeModule.findPackageJSON?.(name, base)
        return path === undefined ? [] : [readVersion(path)]
      } catch {
        return []
      }
    },
  )
}

function readVersion(path: string): string {
  const manifest: { version?: unknown } = JSON.parse(readFileSync(path, 'utf8'))
  return String(manifest.version)
}

/**
 * Returns whether `version` is older than `oldest`. A pre-release counts as its release. A text
 * that is not a version is not older.
 */
function isOlder(version: string, oldest: string): boolean {
  const left = readParts(version)
  const right = readParts(oldest)
  if (left.length === 0 || right.length === 0) return false
  const difference = left
    .map((part, index) => part - (right[index] ?? 0))
    .find((each) => each !== 0)
  return difference !== undefined && difference < 0
}

function readParts(version: string): number[] {
  return (/^(\d+)\.(\d+)\.(\d+)/.exec(version)?.slice(1) ?? []).map(Number)
}
