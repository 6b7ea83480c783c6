import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { refuseServerPaths } from './refuse-server-paths.ts'

test("a parser's file in a folder is refused with the input to give instead", () => {
  const folder = { originalname: 'a.png', mimetype: 'image/png', size: 1, path: '/tmp/1' }
  for (const input of [folder, [folder], { files: [folder] }])
    assert.throws(() => refuseServerPaths('photo', input), {
      code: 'INVALID_INPUT',
      message: /parser's file in a folder.*Give \{ io: createReadStream\(file\.path\), filename \}/,
    })
  refuseServerPaths('photo', { io: Readable.from(['x']), filename: folder.originalname })
  refuseServerPaths('photo', { ...folder, path: undefined, buffer: Buffer.from('x') })
})
