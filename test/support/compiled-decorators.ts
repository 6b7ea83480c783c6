// Compiles modules with decorators, which Node does not run, once, on the sources of the package.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { join, resolve } from 'node:path'
import { after } from 'node:test'
import { pathToFileURL } from 'node:url'

const { paths } = (
  JSON.parse(readFileSync('tsconfig.json', 'utf8')) as {
    compilerOptions: { paths: Record<string, string[]> }
  }
).compilerOptions
registerHooks({
  resolve(specifier, context, next) {
    const source = paths[specifier]?.[0]
    return next(source === undefined ? specifier : pathToFileURL(resolve(source)).href, context)
  },
})

const folder = mkdtempSync(join(resolve('test'), '.decorators-'))
after(() => rmSync(folder, { recursive: true, force: true }))

/** The modules of test/decorators/`form`. Throws with the reason if they do not compile. */
export function compiled(form: 'legacy' | 'standard'): (name: string) => Promise<never> {
  const tsc = [
    'node_modules/typescript/bin/tsc',
    '-p',
    `test/decorators/${form}`,
    '--outDir',
    join(folder, form),
  ]
  execFileSync(process.execPath, tsc, { stdio: ['ignore', 2, 2] })
  return (name) =>
    import(
      pathToFileURL(join(folder, form, 'test/decorators', form, `${name}.js`)).href
    ) as Promise<never>
}
