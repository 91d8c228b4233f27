import { existsSync } from 'node:fs'
import { chromium, type Browser, type Page } from 'playwright-core'
import { onTestFinished } from 'vitest'

/**
 * Debian's Chromium: that of the package `chromium-headless-shell` where it is there, for it draws no tabs and buttons, which take longer
 * than the page; else that of `chromium`.
 */
const CHROMIUM =
  ['/usr/bin/chromium-headless-shell', '/usr/bin/chromium'].find((path) => existsSync(path)) ?? '/usr/bin/chromium'

/** Why tests with a browser are skipped on this machine; null where they run. With REQUIRE_REAL_PARTS=1 they fail instead. */
export const noBrowser: string | null =
  existsSync(CHROMIUM) || process.env['REQUIRE_REAL_PARTS'] === '1'
    ? null
    : `there is no ${CHROMIUM}; apt-get install chromium-headless-shell`

/** A real browser. @param hosts names that lead to 127.0.0.1 in it */
export const launchBrowser = (hosts: readonly string[] = []): Promise<Browser> =>
  chromium.launch({
    executablePath: CHROMIUM,
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      `--host-resolver-rules=${hosts.map((host) => `MAP ${host} 127.0.0.1`).join(',')}`,
    ],
  })

/**
 * An empty page of a real browser, which is gone when the test has ended.
 * @param hosts names that lead to 127.0.0.1 in it
 */
export async function openPage(hosts: readonly string[] = []): Promise<Page> {
  const browser = await launchBrowser(hosts)
  onTestFinished(() => browser.close())
  return browser.newPage()
}
