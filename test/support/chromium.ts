// A real browser, where one is installed.
import { existsSync } from 'node:fs'
import type { TestContext } from 'node:test'
import { chromium, type Browser } from 'playwright-core'

const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) => existsSync(path))

/** Closed with the test; null: skipped, for none is installed. */
export async function openBrowser(t: TestContext): Promise<Browser | null> {
  if (executablePath === undefined) {
    t.skip('no Chromium is installed: the pages are not looked at')
    return null
  }
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', '--disable-quic'] })
  t.after(() => browser.close())
  return browser
}
