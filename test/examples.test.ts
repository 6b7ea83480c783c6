// The tests of the example app, under each runner, on the built package.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { signUp, startExampleApp } from './support/example-app.ts'

const run = promisify(execFile)
const { NODE_TEST_CONTEXT: _ours, ...env } = process.env
const node = async (...args: readonly string[]): Promise<string> => {
  const { stdout, stderr } = await run(process.execPath, args, { env })
  return stdout + stderr
}

await node('node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json')

test('the example app is tested by node:test, vitest and Jest', async (t) => {
  await t.test('node:test', async () =>
    assert.match(await node('--test', 'examples/testing/node/*.test.ts'), /pass 3/),
  )
  await t.test('vitest', async () =>
    assert.match(
      await node('node_modules/vitest/vitest.mjs', 'run', '--root', 'examples/testing/vitest'),
      /3 passed/,
    ),
  )
  await t.test('Jest', async () =>
    assert.match(
      await node(
        '--experimental-vm-modules',
        'node_modules/jest/bin/jest.js',
        '--config',
        'examples/testing/jest/jest.config.js',
      ),
      /3 passed/,
    ),
  )
})

for (const framework of ['express', 'fastify', 'hono', 'nest'])
  test(`the example of ${framework} saves a form with files, shows and stores them`, async (t) => {
    await signUp(await startExampleApp(t, [`examples/${framework}/app.ts`]))
  })
