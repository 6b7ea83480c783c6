import assert from 'node:assert/strict'
import { test } from 'node:test'
import { listAliases, parseFieldName, scopesOf } from './field-names.ts'

const aliases = listAliases(['photo', 'blogImages'])
const parse = (name: string, scopes: readonly string[] | null = ['user']) =>
  parseFieldName(name, scopes, aliases)

test('a model has a name in camel case and one in snake case', () => {
  assert.deepEqual(scopesOf('BlogPost'), ['blogPost', 'blog_post'])
  assert.deepEqual(scopesOf('Admin::User'), ['adminUser', 'admin_user'])
})

test('files, ids to delete and ids to keep have names of either spelling', () => {
  for (const name of ['user[photo]', 'user[photo_tmp]', 'user[photoTmp]', 'user[photo][]'])
    assert.deepEqual(parse(name), { kind: 'attachment', attachment: 'photo', part: 'files' }, name)
  for (const [name, part] of [
    ['user[blog_images_tmp][files][]', 'files'],
    ['user[blogImages][0]', 'files'],
    ['user[blogImagesTmp][deleted_ids][]', 'deletedIds'],
    ['user[blog_images][deletedIds][]', 'deletedIds'],
    ['user[blog_images][clean_before]', 'cleanBefore'],
  ] as const)
    assert.deepEqual(parse(name), { kind: 'attachment', attachment: 'blogImages', part }, name)
  assert.deepEqual(parse('photo', null), { kind: 'attachment', attachment: 'photo', part: 'files' })
})

test('the real name of an attachment wins over an alias', () => {
  const both = listAliases(['photo', 'photo_tmp'])
  assert.equal(both.get('photo_tmp'), 'photo_tmp')
  assert.equal(both.get('photoTmp'), 'photo')
})

test('all other names are values, without the name of the model', () => {
  for (const [name, key, isScoped, isList] of [
    ['user[name]', 'name', true, false],
    ['user[tags][]', 'tags', true, true],
    ['user[address][city]', 'address[city]', true, false],
    ['photo', 'photo', false, false],
    ['other[photo]', 'other[photo]', false, false],
    ['user', 'user', false, false],
  ] as const)
    assert.deepEqual(parse(name), { kind: 'value', key, isScoped, isList }, name)
})

test('an unknown part of an attachment is refused', () => {
  for (const name of [
    'user[photo][path]',
    'user[photo][files][][path]',
    'user[photo][files][0][x]',
  ])
    assert.throws(() => parse(name), { code: 'INVALID_INPUT', message: /is no part of photo/ })
})
