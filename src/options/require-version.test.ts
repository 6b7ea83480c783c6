import assert from 'node:assert/strict'
import { test } from 'node:test'
import { requireVersion } from './require-version.ts'

test('a version that is too old is refused with the version that is needed', () => {
  for (const told of ['6.19.3', '7.1.9'])
    assert.throws(() => requireVersion('prisma()', '@prisma/client', '7.2.0', told), {
      code: 'CONFIGURATION',
      message: `prisma() needs @prisma/client 7.2.0 or newer, and this app has ${told}: npm install @prisma/client@latest.`,
    })
  // The installed package counts if no version is given.
  assert.throws(() => requireVersion('typeorm()', 'typeorm', '999.0.0'), {
    message: /999\.0\.0 or newer, and this app has \d+\.\d+\.\d+: /,
  })
})

test('a version that is new enough, or unknown, passes', () => {
  for (const told of ['7.2.0', '7.10.0', '8.0.0', '7.2.0-beta.1', 'workspace'])
    requireVersion('prisma()', '@prisma/client', '7.2.0', told)
  requireVersion('typeorm()', 'typeorm', '1.0.0')
  requireVersion('x()', 'not-installed-at-all', '1.0.0')
})
