// Output of six Rails versions, compared with ours.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { describe, test } from 'node:test'
import { parseMetadata } from '../src/blobs/blob-rows.ts'
import { toContentDisposition } from '../src/blobs/content-disposition.ts'
import { getExtension, parameterize, sanitizeFilename } from '../src/blobs/filename.ts'
import { toSafeContentType } from '../src/blobs/safe-content-type.ts'
import { dumpMarshal } from '../src/rails/dump-marshal.ts'
import { loadMarshal } from '../src/rails/load-marshal.ts'
import type { RailsValue } from '../src/rails/rails-value.ts'
import { deriveKey, createMessageVerifier } from '../src/rails/message-verifier.ts'

/** Ruby's values, as JSON cannot tell them apart. */
type Typed =
  | null
  | boolean
  | number
  | string
  | readonly Typed[]
  | { sym: string }
  | { int: string }
  | { float: string | number }
  | { hash: [Typed, Typed][] }
interface Vector {
  readonly group: string
  readonly rails: readonly string[]
  readonly input: Readonly<Record<string, string | number | null | Typed>>
  readonly expect: unknown
}
const { secrets, vectors } = JSON.parse(
  await readFile(new URL('vectors/rails.json', import.meta.url), 'utf8'),
) as {
  secrets: string[]
  vectors: Vector[]
}
const of = (group: string): Vector[] => vectors.filter((vector) => vector.group === group)
const named = ({ rails, input }: Vector): string => `${rails.join(', ')}: ${JSON.stringify(input)}`
const secretOf = ({ input }: Vector): string =>
  secrets[Number(input['secret'])] ?? String(input['secret_key_base'])
/** Creates a verifier with the defaults of the vector's version of Rails. */
const verifierOf = (vector: Vector) => {
  const version = Number(/^\d+\.\d+/.exec(vector.rails[0] ?? '')?.[0])
  return createMessageVerifier({
    secrets: () => [secretOf(vector)],
    keyDigest: version < 7 ? 'SHA1' : 'SHA256',
    envelope: version < 7.1 ? 'marshal' : 'json',
  })
}
const idOf = ({ input }: Vector): string | bigint =>
  input['id_type'] === 'string' || !/^-?\d+$/.test(String(input['id']))
    ? String(input['id'])
    : BigInt(String(input['id']))

/**
 * Returns false for values that JavaScript lacks: a float without a fraction, a key that is no
 * symbol.
 */
function isPlain(typed: Typed): boolean {
  if (typed === null || typeof typed !== 'object') return true
  if (Array.isArray(typed)) return typed.every(isPlain)
  if ('float' in typed)
    return !Number.isInteger(Number(typed.float)) && Number.isFinite(Number(typed.float))
  if ('hash' in typed)
    return typed.hash.every(
      ([key, value]) => typeof key === 'object' && key !== null && 'sym' in key && isPlain(value),
    )
  return true
}
function valueOf(typed: Typed): RailsValue {
  if (typed === null || typeof typed !== 'object') return typed
  if (Array.isArray(typed)) return typed.map(valueOf)
  if ('sym' in typed) return Symbol.for(typed.sym)
  if ('int' in typed) return BigInt(typed.int)
  if ('float' in typed) return Number(typed.float)
  return Object.fromEntries(
    (typed as { hash: [{ sym: string }, Typed][] }).hash.map(([key, value]) => [
      key.sym,
      valueOf(value),
    ]),
  )
}

describe('messages', () => {
  test('signed ids equal those of Rails to the byte, and are read with any secret and digest', () => {
    assert.ok(of('signed_id').length >= 12)
    for (const vector of of('signed_id')) {
      assert.equal(
        verifierOf(vector).generate(idOf(vector), { purpose: 'blob_id' }),
        vector.expect,
        named(vector),
      )
      const rotated = createMessageVerifier({ secrets: () => ['a newer secret', secretOf(vector)] })
      assert.equal(
        String(rotated.verify(String(vector.expect), { purpose: 'blob_id' })?.value),
        String(vector.input['id']),
        named(vector),
      )
      assert.equal(
        rotated.verify(String(vector.expect), { purpose: 'another' }),
        null,
        named(vector),
      )
    }
  })
  test('expiring signed ids equal those of Rails too, and end at the same moment', () => {
    for (const vector of of('signed_id_expiring')) {
      const expiresAt = new Date(
        new Date(String(vector.input['now'])).getTime() + Number(vector.input['expires_in']) * 1000,
      )
      const token = verifierOf(vector).generate(idOf(vector), { purpose: 'blob_id', expiresAt })
      assert.equal(token, vector.expect, named(vector))
      const at = (milliseconds: number) =>
        verifierOf(vector).verify(token, {
          purpose: 'blob_id',
          now: new Date(expiresAt.getTime() + milliseconds),
        })
      assert.equal(at(-1)?.state, 'valid')
      assert.equal(at(0)?.state, 'expired')
    }
  })
  test('refused and accepted values are those of Rails, except quirks of older versions', () => {
    const quirks = [
      'trailing --junk',
      'trailing junk',
      'url-safe alphabet, same bytes',
      'legacy envelope with a space',
    ]
    for (const vector of of('verify')) {
      const now =
        vector.input['now'] === undefined
          ? new Date('2030-01-01')
          : new Date(String(vector.input['now']))
      const found = verifierOf(vector).verify(String(vector.input['token']), {
        purpose: String(vector.input['purpose']),
        now,
      })
      const value = found?.state === 'valid' ? found.value : null
      const { expect } = vector
      const expected =
        expect !== null && typeof expect === 'object'
          ? (expect as { verified?: unknown; raises?: string })
          : { verified: expect }
      // An older Rails raises on what a newer one wrote: here both are read.
      if (expected.raises !== undefined || quirks.includes(String(vector.input['case'])))
        assert.ok(value === null || String(value) === '42', named(vector))
      else
        assert.equal(
          value === null ? null : String(value),
          expected.verified === null ? null : String(expected.verified),
          named(vector),
        )
    }
  })
  test('keys are derived as Rails derives them', () => {
    for (const vector of of('derived_key'))
      assert.equal(
        deriveKey(secretOf(vector), Number(vector.rails[0]?.[0]) < 7 ? 'SHA1' : 'SHA256')
          .export()
          .toString('hex'),
        vector.expect,
        named(vector),
      )
  })
  test('tokens of disk urls, direct uploads and variations equal those of Rails to the byte', () => {
    for (const vector of of('disk_url')) {
      const { key, content_type, service_name, now, expires_in } = vector.input
      const expected = vector.expect as { url: string; token: string }
      const found = verifierOf(vector).verify(expected.token, {
        purpose: 'blob_key',
        now: new Date(String(now)),
      })
      assert.ok(found)
      const { disposition } = found.value as { disposition: string }
      const value = {
        key: String(key),
        disposition,
        content_type: toSafeContentType(String(content_type)).contentType,
        service_name: Symbol.for(String(service_name)),
      }
      const expiresAt = new Date(new Date(String(now)).getTime() + Number(expires_in) * 1000)
      assert.equal(
        verifierOf(vector).generate(value, { purpose: 'blob_key', expiresAt }),
        expected.token,
        named(vector),
      )
      assert.equal(found.expiresAt?.getTime(), expiresAt.getTime())
    }
    for (const vector of of('disk_upload_url')) {
      const { key, content_type, content_length, checksum, service_name, now, expires_in } =
        vector.input
      const value = {
        key: String(key),
        content_type: String(content_type),
        content_length: Number(content_length),
        checksum: String(checksum),
        service_name: Symbol.for(String(service_name)),
      }
      const expiresAt = new Date(new Date(String(now)).getTime() + Number(expires_in) * 1000)
      const { token } = vector.expect as { token: string }
      assert.equal(
        verifierOf(vector).generate(value, { purpose: 'blob_token', expiresAt }),
        token,
        named(vector),
      )
    }
    assert.ok(of('variation_key').length > 50)
    for (const vector of of('variation_key'))
      if (isPlain(vector.input['transformations'] as Typed))
        assert.equal(
          verifierOf(vector).generate(valueOf(vector.input['transformations'] as Typed), {
            purpose: 'variation',
          }),
          vector.expect,
          named(vector),
        )
  })
  test("Ruby's values are written byte for byte, and read back", () => {
    assert.ok(of('variation_digest').length > 10)
    for (const vector of of('variation_digest')) {
      const typed = vector.input['transformations'] as Typed
      if (!isPlain(typed)) continue
      const { marshal_hex: hex } = vector.expect as { marshal_hex: string }
      assert.equal(dumpMarshal(valueOf(typed)).toString('hex'), hex, named(vector))
      assert.doesNotThrow(() => loadMarshal(Buffer.from(hex, 'hex')), named(vector))
    }
    assert.throws(() => loadMarshal(Buffer.from('\x04\bo:\vObject\0', 'latin1')), /not supported/)
    for (const cut of [
      '',
      '\x04',
      '\x04\b',
      '\x04\b{',
      '\x04\bI"\n',
      '\x04\b@\x06',
      '\x04\b;\0',
      '\x04\bl+\x7f',
    ])
      assert.throws(() => loadMarshal(Buffer.from(cut, 'latin1')), TypeError)
  })
  test('every written value is read; one changed character is refused', () => {
    for (const envelope of ['json', 'marshal'] as const)
      for (const keyDigest of ['SHA1', 'SHA256'] as const)
        for (const value of [
          0n,
          1n,
          -1n,
          122n,
          123n,
          -124n,
          255n,
          65_536n,
          2n ** 30n,
          -(2n ** 30n) - 1n,
          2n ** 53n + 1n,
          2n ** 63n - 1n,
          'text',
          'ünï',
          '',
          'x'.repeat(1000),
        ]) {
          const verifier = createMessageVerifier({ secrets: () => ['secret'], envelope, keyDigest })
          const token = verifier.generate(value, { purpose: 'p' })
          assert.equal(
            String(verifier.verify(token, { purpose: 'p' })?.value),
            String(value),
            `${envelope} ${String(value)}`,
          )
          for (let at = 0; at < token.length; at += 7) {
            const changed =
              token.slice(0, at) + (token[at] === 'a' ? 'b' : 'a') + token.slice(at + 1)
            assert.equal(verifier.verify(changed, { purpose: 'p' }), null)
          }
        }
  })
})

describe('names', () => {
  test('file names are shown as Rails shows them', () => {
    assert.ok(of('filename').length > 30)
    for (const vector of of('filename')) {
      const name = String(vector.input['filename'])
      const expected = vector.expect as { sanitized?: string; extension_with_delimiter: string }
      // Rails raises on a NUL in a name, which never gets into a row here.
      if (
        !vector.rails.some((version) => version.startsWith('8')) ||
        expected.sanitized === undefined
      )
        continue
      assert.equal(sanitizeFilename(name), expected.sanitized, named(vector))
      assert.equal(getExtension(name), expected.extension_with_delimiter, named(vector))
    }
  })
  test("the default name rule uses Rails' parameterize", () => {
    for (const vector of of('parameterize'))
      assert.equal(parameterize(String(vector.input)), vector.expect, named(vector))
  })
  test('metadata that is no object is read as none', () => {
    for (const vector of of('metadata_read')) {
      const expected = vector.expect as { metadata?: object }
      if (expected.metadata !== undefined)
        assert.deepEqual(
          parseMetadata(vector.input['stored'] as string | null),
          expected.metadata,
          named(vector),
        )
    }
  })
})

test('names and types are served as Rails 8.1 serves them', () => {
  assert.ok(of('content_disposition').length > 20)
  for (const vector of of('content_disposition')) {
    const { filename, disposition } = vector.input as { filename: string; disposition: string }
    // NUL is never stored, and Rails' versions differ in it.
    if (filename.includes('\0')) continue
    const type = disposition === 'attachment' ? 'attachment' : 'inline'
    assert.equal(toContentDisposition(type, filename), vector.expect, named(vector))
  }
  assert.ok(of('serving').length > 10)
  for (const vector of of('serving')) {
    const { contentType, mayBeInline } = toSafeContentType(String(vector.input['content_type']))
    const expected = vector.expect as {
      content_type_for_serving: string
      forced_disposition: string | null
    }
    assert.equal(contentType, expected.content_type_for_serving, named(vector))
    assert.equal(mayBeInline ? null : 'attachment', expected.forced_disposition, named(vector))
  }
})
