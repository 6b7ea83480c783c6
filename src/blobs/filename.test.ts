import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  getExtension,
  normalizeFilename,
  parameterize,
  sanitizeFilename,
  transliterate,
  truncateFilename,
} from './filename.ts'

test("an extension is what Ruby's File.extname returns", () => {
  const cases = {
    'a.tar.gz': '.gz',
    '.bashrc': '',
    'dot.': '.',
    a: '',
    '..a.b': '.b',
    'a/b.c/d': '',
  }
  for (const [name, extension] of Object.entries(cases)) assert.equal(getExtension(name), extension)
})

test('a sanitized name has no character that a path or a header gives a meaning', () => {
  assert.equal(sanitizeFilename(' a/b\\c:d?e*f"g<h>i|j%k$l\t'), 'a-b-c-d-e-f-g-h-i-j-k-l')
  assert.equal(sanitizeFilename('\u202Etxt.exe'), '-txt.exe')
})

test('a stored name has no NUL and no half of a character', () => {
  assert.equal(normalizeFilename('a\0b\ud800'), 'ab\ufffd')
})

test('a name is cut between characters and keeps its extension', () => {
  assert.equal(truncateFilename('short.png', 20), 'short.png')
  assert.equal(truncateFilename('abcdefghij.png', 10), 'abcdef.png')
  assert.equal(truncateFilename('ффффф.png', 9), 'фф.png')
  assert.equal(truncateFilename('a.veryveryverylong', 8), 'a.veryve')
})

test('letters become ASCII that looks like them', () => {
  assert.equal(transliterate('Ærøskøbing naïve ß 漢'), 'AEroskobing naive ss ?')
  assert.equal(parameterize('Ünïcode  Ñame__1 — x'), 'unicode-name__1-x')
  assert.equal(parameterize('漢字'), '')
})
