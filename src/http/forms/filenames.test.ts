import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sanitizePath, stripFolders } from './filenames.ts'

test('stripFolders keeps the last part that is a name', () => {
  for (const [sent, expected] of [
    ['a.txt', 'a.txt'],
    ['C:\\photos\\a.txt', 'a.txt'],
    ['../../etc/passwd', 'passwd'],
    ['a%22b.txt', 'a"b.txt'],
    ['100%.txt', '100%.txt'],
    ['album/..', 'album'],
    ['..', 'file'],
    ['', 'file'],
  ] as const)
    assert.equal(stripFolders(sent), expected, sent)
})

test('sanitizePath never leaves the folder that it is put in', () => {
  for (const [sent, expected] of [
    ['album/2023/a.jpg', 'album/2023/a.jpg'],
    ['/etc/passwd', 'etc/passwd'],
    ['../../a.jpg', 'a.jpg'],
    ['C:\\photos\\a.jpg', 'photos/a.jpg'],
    ['C:a.jpg', 'C-a.jpg'],
    ['a\u202Egpj.exe', 'agpj.exe'],
    ['./..', 'file'],
  ] as const)
    assert.equal(sanitizePath(sent), expected, sent)
})
