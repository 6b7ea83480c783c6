import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toContentDisposition } from './content-disposition.ts'

test('a filename is sent in ASCII and in UTF-8', () => {
  assert.equal(
    toContentDisposition('inline', 'né a.png'),
    `inline; filename="ne a.png"; filename*=UTF-8''n%C3%A9%20a.png`,
  )
})

test('no filename ends its header', () => {
  for (const filename of ['a"b.txt', 'a\r\nX: y.txt', 'a;b.txt', 'a\0.txt']) {
    const header = toContentDisposition('attachment', filename)
    assert.match(
      header,
      /^attachment; filename="[^"\r\n\0]*"; filename\*=UTF-8''[^;"\s\0]*$/,
      filename,
    )
  }
})
