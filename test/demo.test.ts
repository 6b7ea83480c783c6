// The page of `npm start`, used as a visitor does, in a real browser if one is installed.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Route } from 'playwright-core'
import createSharp from 'sharp'
import { openBrowser } from './support/chromium.ts'

test('a user is saved at once, a pending photo is shown, and a failed one can be retried', async (t) => {
  const browser = await openBrowser(t)
  if (browser === null) return
  const data = await mkdtemp(join(tmpdir(), 'demo-'))
  const server = spawn(process.execPath, ['examples/demo/server.ts'], {
    env: { ...process.env, DEMO_DATA: data, PORT: '0' },
  })
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
  const photoInput = page.locator('form.new input[name="user[photo_tmp]"][type=file]')
  const save = page.locator('form.new').getByRole('button', { name: 'Save' })
  await photoInput.setInputFiles({
    name: 'no.png',
    mimeType: 'image/png',
    buffer: Buffer.from('<!doctype html>'),
  })
  await page.getByText('no.png is of a type that is not accepted here').waitFor()
  // A refused file is not left out silently.
  await save.click()
  assert.equal(
    await page
      .getByRole('button', { name: 'Remove no.png' })
      .evaluate((element) => element === document.activeElement),
    true,
  )
  const photo = await createSharp({
    create: { width: 300, height: 300, channels: 3, background: 'teal' },
  })
    .png()
    .toBuffer()
  await photoInput.setInputFiles({ name: 'ada.png', mimeType: 'image/png', buffer: photo })
  await page.locator('form.new input[name^="user[certificates_tmp]"]').setInputFiles([
    { name: 'diploma.pdf', mimeType: 'application/pdf', buffer: Buffer.from('%PDF-1.4') },
    { name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('notes') },
  ])
  await save.click()
  const image = page.getByAltText('Photo of Ada Lovelace')
  await image.waitFor()
  assert.match((await image.getAttribute('src')) ?? '', /pending/)
  assert.equal(await image.evaluate((element) => (element as HTMLImageElement).naturalWidth), 300)
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390)
  await page.locator('delayed-upload[state=running]').first().waitFor()
  await page.getByRole('progressbar', { name: 'Progress of ada.png' }).waitFor()
  await page.getByRole('link', { name: 'notes.txt' }).waitFor()
  await page.getByRole('link', { name: 'diploma.pdf' }).waitFor()

  // A name that is taken: the files that came with the form are kept, and need not be chosen again.
  await page.getByLabel('Name').fill('Ada Lovelace')
  await photoInput.setInputFiles({ name: 'kept.png', mimeType: 'image/png', buffer: photo })
  await save.click()
  await page.getByText('is here already').waitFor()
  assert.equal(await page.getByLabel('Name').inputValue(), 'Ada Lovelace')
  await page.getByRole('list', { name: 'Files that are kept' }).getByText('kept.png').waitFor()
  await page.getByLabel('Name').fill('Grace')
  await save.click()
  assert.match((await page.getByAltText('Photo of Grace').getAttribute('src')) ?? '', /pending/)

  // A box that is ticked while another file is sent stays ticked, also if the list was requested
  // before.
  const ada = page.locator('article', { hasText: 'Ada Lovelace' })
  const submit = ada.locator('details').getByRole('button', { name: 'Save' })
  const asked = Promise.withResolvers<Route>()
  await ada.getByText('Change').click()
  const added = ada.locator('input[name^="user[certificates_tmp][files]"]')
  await added.setInputFiles({
    name: 'late.bin',
    mimeType: 'application/octet-stream',
    buffer: Buffer.alloc(1_300_000),
  })
  await page.route('**/users', (route) => asked.resolve(route), { times: 1 })
  await submit.click()
  await page.getByText('late.bin').waitFor()
  await page.request.post('/weather', { form: { slow: '0' } })
  const route = await asked.promise
  const tick = page.getByLabel('Delete notes.txt')
  await tick.check()
  await Promise.all([page.waitForResponse('**/users'), route.continue()])
  assert.equal(await tick.isChecked(), true)
  await tick.uncheck()
  await ada.getByRole('link', { name: 'late.bin' }).waitFor()

  await page.getByRole('button', { name: 'failing' }).click()
  await page.getByRole('button', { name: 'failing', pressed: true }).waitFor()
  await ada.getByText('Change').click()
  await ada
    .locator('input[name="user[photo_tmp]"][type=file]')
    .setInputFiles({ name: 'other.png', mimeType: 'image/png', buffer: photo })
  await submit.click()
  await ada
    .locator('delayed-upload[state=failed]')
    .getByText('could not be stored. It is kept')
    .waitFor()
  await page.getByRole('button', { name: 'failing' }).click()
  // The page is another one then: a click before it would be lost with the old one.
  await page.getByRole('button', { name: 'failing', pressed: false }).waitFor()
  await ada.getByRole('button', { name: 'Retry' }).click()
  await ada.getByText('other.png ·').waitFor()
  await ada.locator('delayed-upload').waitFor({ state: 'detached' })
  assert.match(
    (await page.getByAltText('Photo of Ada Lovelace').getAttribute('src')) ?? '',
    /blobs/,
  )
  await ada.getByText('Change').click()
  await ada.getByLabel('at once if none is added').check()
  await submit.click()
  await ada.getByText('No certificates stored yet.').waitFor()
})
