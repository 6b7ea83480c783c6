// A real browser, where one is installed: one for all tests of a file.
import { existsSync } from 'node:fs'
import { after, type TestContext } from 'node:test'
import { absent } from './required-services.ts'
import { chromium, type Browser, type BrowserContext } from 'playwright-core'

const executablePath = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
].find((path) => existsSync(path))
let launched: Promise<Browser> | undefined
after(async () => (await launched)?.close())

/** A profile of the test's own, closed with it; null: skipped, for no browser is installed. */
export async function openBrowser(
  t: TestContext,
): Promise<(Pick<Browser, 'newPage'> & { close(): Promise<void> }) | null> {
  if (executablePath === undefined) {
    t.skip('no Chromium is installed: the pages are not looked at')
    return absent('chromium', 'no Chromium is installed')
  }
  launched ??= chromium.launch({
    executablePath,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic'],
  })
  const browser = await launched
  const contexts: BrowserContext[] = []
  const close = async (): Promise<void> => {
    for (const context of contexts.splice(0)) await context.close()
  }
  t.after(close)
  return {
    close,
    async newPage(options) {
      const context = await browser.newContext(options)
      contexts.push(context)
      return context.newPage()
    },
  }
}
