import { setTimeout as sleep } from 'node:timers/promises'
import type { Browser, Page } from 'playwright-core'
import { afterAll, describe, onTestFinished } from 'vitest'
import { launchBrowser, noBrowser } from './browser.js'
import type { Service } from './service.js'
import { PATIENCE, until } from './wait.js'

/** One browser for the tests of a file: each has a context of its own in it, which knows nothing of the others. */
let browser: Promise<Browser> | undefined

/** Many pages in one test, on a machine that has much to do: only what hangs takes so long, ms. */
const LIMIT_MS = 240_000

/** Tests that need a real browser. */
export function inBrowser(tests: () => void): void {
  const why = noBrowser === null ? '' : `: skipped, ${noBrowser}`
  describe.skipIf(noBrowser !== null)(`in a real browser${why}`, { timeout: LIMIT_MS }, () => {
    afterAll(async () => {
      const opened = browser
      browser = undefined
      await (await opened)?.close()
    })
    tests()
  })
}

export interface DashboardOptions {
  language?: 'en' | 'zh'
  theme?: 'light' | 'dark'
  /** Shown before the page is opened, as if it was typed before. */
  token?: string
}

export interface OpenDashboard {
  page: Page
  /** Hosts that the page has asked, the service's own left out. They are not reached. */
  foreign: string[]
  /** What the browser complains of: errors of scripts, and what the policy of the page forbids. */
  complaints: string[]
  open(view: string): Promise<void>
  /** Waits until so many elements fit. */
  count(selector: string, wanted: number): Promise<unknown>
  /** The text of the first element that fits, without space around it. */
  text(selector: string): Promise<string>
}

/** A service that runs knows of a new token within a second, and the page takes a refusal for an answer. */
export const knowsToken = (service: Pick<Service, 'url'>, token: string): Promise<unknown> =>
  until(async () => {
    // Not at once again and again: who shows wrong tokens is slowed down.
    await sleep(200)
    const headers = { authorization: `Bearer ${token}` }
    return ![401, 429].includes((await fetch(`${service.url}/api/v1/models`, { headers })).status)
  }, 'the service knows the token')

/** The dashboard of a service in a browser that reaches no other host. */
export async function openDashboard(
  service: Pick<Service, 'url'>,
  { language = 'en', theme = 'light', token }: DashboardOptions = {},
): Promise<OpenDashboard> {
  if (token !== undefined) await knowsToken(service, token)
  browser ??= launchBrowser()
  const context = await (await browser).newContext()
  onTestFinished(() => context.close())
  const page = await context.newPage()
  page.setDefaultTimeout(PATIENCE)
  const foreign: string[] = []
  const complaints: string[] = []
  const { host } = new URL(service.url)
  await page.route(
    (url) => url.host !== host,
    (route) => {
      foreign.push(route.request().url())
      return route.abort()
    },
  )
  page.on('pageerror', (error) => complaints.push(String(error)))
  page.on('console', (message) => {
    // A refusal and a service that is away are told of by the browser too; what of them the page makes is looked at.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource'))
      complaints.push(message.text())
  })
  const kept = JSON.stringify({ language, theme, token })
  await page.addInitScript(`{
    const { language, theme, token } = ${kept}
    if (localStorage.getItem('language') === null) localStorage.setItem('language', language)
    if (localStorage.getItem('theme') === null) localStorage.setItem('theme', theme)
    if (token !== undefined && sessionStorage.getItem('begun') === null) sessionStorage.setItem('token', token)
    sessionStorage.setItem('begun', '1')
  }`)
  return {
    page,
    foreign,
    complaints,
    open: async (view) => void (await page.goto(`${service.url}/dashboard${view}`)),
    count: (selector, wanted) =>
      until(async () => (await page.locator(selector).count()) === wanted, `${wanted} of ${selector}`),
    text: async (selector) => (await page.locator(selector).first().innerText()).trim(),
  }
}

/** The views of the page that need no id. */
export const views = ['/', '/tasks', '/nodes', '/fleet', '/feed', '/health'] as const
