import assert from 'node:assert/strict'
import { test } from 'node:test'
import { md5 } from '../../test/support/bytes.ts'
import { s3 } from './s3.ts'

test('a direct upload is signed with the encryption of the bucket', async () => {
  const service = s3({
    bucket: 'encrypted',
    // Signing sends nothing.
    endpoint: 'http://localhost:9',
    credentials: { accessKeyId: 'id', secretAccessKey: 'secret' },
    serverSideEncryption: 'aws:kms',
    kmsKeyId: 'a-key',
  })
  const direct = await service.urlForDirectUpload('key', {
    expiresIn: 60,
    byteSize: 5,
    checksum: md5(Buffer.from('hello')),
    contentType: 'image/png',
  })
  const encryption = {
    'x-amz-server-side-encryption': 'aws:kms',
    'x-amz-server-side-encryption-aws-kms-key-id': 'a-key',
  }
  assert.deepEqual(
    Object.entries(direct?.headers ?? {}).filter(([name]) => name.startsWith('x-amz-')),
    Object.entries(encryption),
  )
  const { searchParams } = new URL(direct?.url ?? '')
  const signed = searchParams.get('X-Amz-SignedHeaders')?.split(';') ?? []
  for (const name of Object.keys(encryption)) {
    assert.ok(signed.includes(name), name)
    assert.equal(searchParams.has(name), false, name)
  }
})
