import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { inBrowser, openDashboard } from '../support/dashboard.js'
import { connectNode, nextAssign } from '../support/node-session.js'
import { startService, task } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'

/** How soon the page shows what the service has done, ms. */
const SOON_MS = 1000

/** Timers that are late by less are of a machine that is not held up, ms. */
const HELD_UP_MS = 50
/** When each row of the table said `completed`, Unix ms, and how long the page was held up in all, ms. */
const LOOK_OUT = `
  window.seen = {}
  window.heldUp = 0
  new MutationObserver(() => {
    for (const row of document.querySelectorAll('tbody tr')) {
      const id = row.querySelector('th')?.innerText.trim()
      if (id !== undefined && row.innerText.includes('completed')) window.seen[id] ??= Date.now()
    }
  }).observe(document.body, { subtree: true, childList: true, characterData: true })
  let last = performance.now()
  setInterval(() => {
    const late = performance.now() - last - 10
    last += late + 10
    if (late > ${HELD_UP_MS}) window.heldUp += late
  }, 10)`

/** How long this process was held up since, ms: the service is in it. */
function createDelayMeter(): () => number {
  let last = performance.now()
  let heldUp = 0
  const timer = setInterval(() => {
    const late = performance.now() - last - 10
    last += late + 10
    if (late > HELD_UP_MS) heldUp += late
  }, 10)
  onTestFinished(() => clearInterval(timer))
  return () => heldUp
}

inBrowser(() => {
  test('each task moves on the page within a second after it moves in the service', async () => {
    const service = await startService()
    const node = await connectNode(service, 'gpu-1', { supported_models: ['llama-3-8b'] })
    await service.submit({ task_id: 'waits', model_name: 'nobody-has-it' })
    const { page, open } = await openDashboard(service)
    await open('/tasks')
    await page.getByRole('link', { name: 'waits' }).waitFor()
    await page.locator('.live', { hasText: 'live' }).waitFor()
    await page.evaluate(LOOK_OUT)
    const heldUpHere = createDelayMeter()
    const fresh = page.getByRole('button', { name: '1 new: show' })
    const row = (id: string) => page.locator('tbody tr', { hasText: id })
    for (const id of ['move-1', 'move-2', 'move-3', 'move-4', 'move-5']) {
      await service.submit({ task_id: id })
      await fresh.waitFor()
      // New ones do not push the list away under the eyes of who reads it.
      expect(await row(id).count()).toBe(0)
      await fresh.click()
      await row(id).filter({ hasText: 'running' }).waitFor()
      const a = await nextAssign(node, id)
      node.accept(a)
      const before = heldUpHere() + (await page.evaluate<number>('window.heldUp'))
      node.complete(a)
      await row(id).filter({ hasText: 'completed' }).waitFor()
      const seen = await page.evaluate<number>(`window.seen[${JSON.stringify(id)}]`)
      const heldUp = heldUpHere() + (await page.evaluate<number>('window.heldUp')) - before
      // By the clock of the machine, which the page has too: when the turn was that ended it.
      const { attempts } = (await service.get(`/api/v1/tasks/${id}`)).body?.data as { attempts: { ended_ms: number }[] }
      const delay = seen - (attempts[0]?.ended_ms ?? NaN)
      expect([id, delay < SOON_MS + heldUp ? 'soon' : { delay, heldUp }]).toEqual([id, 'soon'])
    }
  })

  test('what happens runs through the feed, which can be held and filtered', async () => {
    const service = await startService()
    const { page, open } = await openDashboard(service)
    await open('/feed')
    await page.locator('.live', { hasText: 'live' }).waitFor()
    await page.getByText('Nothing has happened').waitFor()
    await service.submit({ task_id: 'first' })
    await page.locator('tbody tr', { hasText: 'first' }).waitFor()
    await page.getByRole('button', { name: 'Pause' }).click()
    await service.submit({ task_id: 'second' })
    await page.getByRole('button', { name: 'Go on (1 held)' }).waitFor()
    expect(await page.locator('tbody tr', { hasText: 'second' }).count()).toBe(0)
    await page.getByRole('button', { name: 'Go on' }).click()
    await page.locator('tbody tr', { hasText: 'second' }).waitFor()
    await page.getByLabel('Model').fill('other')
    await page.locator('tbody tr').first().waitFor({ state: 'detached' })
  })

  test('what has run through the feed is forgotten: the page does not grow', async () => {
    const service = await startService()
    const { page, open } = await openDashboard(service)
    const browser = await page.context().newCDPSession(page)
    await browser.send('Performance.enable')
    await browser.send('HeapProfiler.enable')
    /** Elements and texts of the page, also those that are in it no more and are kept. */
    const nodes = async (): Promise<number> => {
      await browser.send('HeapProfiler.collectGarbage')
      const { metrics } = await browser.send('Performance.getMetrics')
      return metrics.find(({ name }) => name === 'Nodes')?.value ?? NaN
    }
    await open('/feed')
    await page.locator('.live', { hasText: 'live' }).waitFor()
    const counts: number[] = []
    for (let i = 0; i < 6; i++) {
      const tasks = Array.from({ length: 190 }, (_, n) => task({ task_id: `burst-${i}-${n}` }))
      await service.post('/api/v1/tasks/batch', { tasks })
      await page
        .locator('tbody tr', { hasText: `burst-${i}-` })
        .first()
        .waitFor()
      counts.push(await nodes())
    }
    expect(await page.locator('tbody tr').count()).toBe(100)
    // It is full after the first; the next two are for what is kept a little longer.
    const [full = NaN, last = NaN] = [counts[2], counts.at(-1)]
    expect(last / full, String(counts)).toBeLessThan(1.3)
  })

  test('when the service is gone the page says so, and when it is back it catches up by itself', async () => {
    const database_path = join(tempDir(), 'inference.db')
    const service = await startService({ database_path })
    const { page, open, complaints } = await openDashboard(service)
    // The other views are loaded by themselves, soon after the first.
    const loaded = page.waitForResponse((response) => response.url().includes('/assets/health-'))
    await open('/')
    await (await loaded).finished()
    const waiting = page.locator('.figures.first .value').first()
    await waiting.filter({ hasText: /^0$/ }).waitFor()
    await page.locator('.live', { hasText: 'live' }).waitFor()
    const { port } = new URL(service.url)
    await service.stop()
    await page.getByText('The service has not answered since').waitFor()
    await page.locator('.live', { hasText: 'no answer' }).waitFor()
    // What was seen last stays, and views that were not opened yet open.
    expect(await waiting.innerText()).toBe('0')
    await page.getByRole('link', { name: 'Health' }).click()
    await page.getByRole('heading', { name: 'Health' }).waitFor()
    await page.getByRole('link', { name: 'Overview' }).click()
    const again = await startService({ database_path }, undefined, {}, Number(port))
    await again.submit({ task_id: 'after' })
    await waiting.filter({ hasText: /^1$/ }).waitFor()
    await page.locator('.live', { hasText: 'live' }).waitFor()
    await page.getByText('The service has not answered since').waitFor({ state: 'detached' })
    expect(complaints).toEqual([])
  })
})
