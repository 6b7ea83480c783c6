// The page of `npm start`, used as a visitor uses it, in a real browser where one is installed.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Route } from 'playwright-core'
import createSharp from 'sharp'
import { openBrowser } from './support/chromium.ts'

test('a user is saved at once, the photo is seen while it travels; what failed is shown and can be tried again', async (t) => {
  const browser = await openBrowser(t)
  if (browser === null) return
  const data = await mkdtemp(join(tmpdir(), 'demo-'))
  const server = spawn(process.execPath, ['examples/demo/server.ts'], { env: { ...process.env, DEMO_DATA: data, PORT: '0' } })
  t.after(async () => {
    server.kill('SIGTERM')
    await new Promise((resolve) => server.once('exit', resolve))
    await rm(data, { recursive: true, force: true })
  })
  let output = ''
  for await (const chunk of server.stdout) if ((output += String(chunk)).includes('http://')) break
  const baseURL = /http:\S+/.exec(output)?.[0] ?? ''
  const page = await browser.newPage({ baseURL, viewport: { width: 390, height: 844 } })
  await page.goto('/')
  await page.getByRole('button', { name: 'slow' }).click()
  await page.getByLabel('Name').fill('Ada Lovelace')
  const photoInput = page.locator('form.new input[name="user[photo_tmp]"]')
  await photoInput.setInputFiles({ name: 'no.png', mimeType: 'image/png', buffer: Buffer.from('<!doctype html>') })
  await page.locator('form.new button').click()
  await page.getByText('no.png is text/html').waitFor()
  assert.equal(await page.getByLabel('Name').inputValue(), 'Ada Lovelace')
  const photo = await createSharp({ create: { width: 300, height: 300, channels: 3, background: 'teal' } })
    .png()
    .toBuffer()
  await photoInput.setInputFiles({ name: 'ada.png', mimeType: 'image/png', buffer: photo })
  await page.locator('form.new input[name^="user[certificates_tmp]"]').setInputFiles([
    { name: 'diploma.pdf', mimeType: 'application/pdf', buffer: Buffer.from('%PDF-1.4') },
    { name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('notes') },
  ])
  await page.locator('form.new button').click()
  const image = page.getByAltText('Photo of Ada Lovelace')
  await image.waitFor()
  assert.match((await image.getAttribute('src')) ?? '', /pending/)
  assert.equal(await image.evaluate((element) => (element as HTMLImageElement).naturalWidth), 300)
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390)
  await page.locator('.badge.attached').nth(2).waitFor()

  // What is ticked while another file travels stays ticked, also when the list has been asked for already.
  const asked = Promise.withResolvers<Route>()
  const submit = page.locator('article form button:not(.small)').first()
  await page.getByText('Change').click()
  const added = page.locator('article input[name^="user[certificates_tmp][files]"]')
  await added.setInputFiles({ name: 'late.bin', mimeType: 'application/octet-stream', buffer: Buffer.alloc(1_300_000) })
  await submit.click()
  await page.getByText('late.bin').waitFor()
  await page.route('**/users', (route) => asked.resolve(route), { times: 1 })
  const route = await asked.promise
  const tick = page.getByLabel('Delete notes.txt')
  await tick.check()
  await Promise.all([page.waitForResponse('**/users'), route.continue()])
  await page.request.post('/weather', { form: { slow: '0' } })
  while ((await (await page.request.get('/users')).text()).includes('data-busy="true"'));
  assert.equal(await tick.isChecked(), true)
  await tick.uncheck()
  await page.locator('.badge.attached').nth(3).waitFor()

  await page.getByRole('button', { name: 'failing' }).click()
  await page.getByText('Change').click()
  await page.locator('article input[name="user[photo_tmp]"]').setInputFiles({ name: 'other.png', mimeType: 'image/png', buffer: photo })
  await submit.click()
  await page.locator('.error', { hasText: 'other.png: The storage service answered 503' }).waitFor()
  await page.getByRole('button', { name: 'failing' }).click()
  await page.getByRole('button', { name: 'Retry' }).click()
  await page.locator('.who .badge.attached', { hasText: 'stored' }).waitFor()
  await page.getByText('other.png').waitFor()
  assert.match((await page.getByAltText('Photo of Ada Lovelace').getAttribute('src')) ?? '', /attachments/)
  await page.getByText('Change').click()
  await page.getByLabel('at once if none is added').check()
  await submit.click()
  await page.getByText('No certificates yet.').waitFor()
})
