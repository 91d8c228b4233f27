import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { expect, test } from 'vitest'
import { inBrowser, openDashboard, views } from '../support/dashboard.js'
import { beginTask, connectNode, fail, nextSettled } from '../support/node-session.js'
import { startService } from '../support/service.js'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

interface Violation {
  id: string
  nodes: { html: string; failureSummary: string }[]
}

async function lively() {
  const service = await startService({ max_attempts: 1 })
  const node = await connectNode(service, 'gpu-1', { supported_models: ['llama-3-8b'], max_concurrent_tasks: 4 })
  await service.register('poller', { supported_models: ['llama-3-8b'] })
  const ended = await beginTask(service, node, 'ended')
  node.complete(ended)
  await nextSettled(node, 'ended')
  const failed = await beginTask(service, node, 'broken')
  fail(node, failed)
  await service.reaches('broken', 'failed')
  await service.submit({ task_id: 'waits', model_name: 'nobody-has-it' })
  return service
}

inBrowser(() => {
  test.each([
    { theme: 'light', language: 'en' },
    { theme: 'dark', language: 'zh' },
  ] as const)('axe finds nothing wrong with any view: $theme, $language', async ({ theme, language }) => {
    const service = await lively()
    const { page, open } = await openDashboard(service, { theme, language })
    for (const view of [...views, '/tasks/broken', '/tasks/waits', '/nodes/gpu-1', '/tasks/nobody']) {
      await open(view)
      await page.locator('main h1, main .empty').first().waitFor()
      if (view === '/feed') {
        await page.locator('.live .tone-completed').waitFor()
        await service.submit({ model_name: 'nobody-has-it' })
        await page.locator('tbody tr').first().waitFor()
      } else
        await page.locator('main table, main .empty, main .facts, main .squares').first().waitFor({ state: 'attached' })
      for (const summary of await page.locator('main summary').all()) await summary.click()
      await page.evaluate(axe)
      const { violations, passes } = await page.evaluate<{ violations: Violation[]; passes: unknown[] }>(
        `axe.run(document, { resultTypes: ['violations'] })`,
      )
      const found = violations.map(
        ({ id, nodes }) => `${id}: ${nodes.map((n) => `${n.html} ${n.failureSummary}`).join('; ')}`,
      )
      expect([view, found]).toEqual([view, []])
      expect(passes.length).toBeGreaterThan(10)
      expect(await page.evaluate('document.documentElement.lang')).toBe(language === 'zh' ? 'zh-CN' : 'en')
    }
  })

  test('theme and language are switched on the page, and stay', async () => {
    const service = await startService()
    const { page, open, complaints } = await openDashboard(service)
    await open('/')
    const ground = `getComputedStyle(document.body).backgroundColor`
    const light = await page.evaluate(ground)
    await page.getByRole('button', { name: 'Dark' }).click()
    await page.getByRole('button', { name: 'Light' }).waitFor()
    expect(await page.evaluate(ground)).not.toBe(light)
    await page.getByRole('button', { name: '中文' }).click()
    await page.getByRole('link', { name: '总览' }).waitFor()
    await page.reload()
    await page.getByRole('link', { name: '总览' }).waitFor()
    expect(await page.evaluate(ground)).not.toBe(light)
    expect(complaints).toEqual([])
  })

  test('on a phone no view is wider than the screen, at a desk no table, and on a wall there is nothing to scroll and no control', async () => {
    const service = await lively()
    const { page, open } = await openDashboard(service)
    await page.setViewportSize({ width: 360, height: 740 })
    for (const view of [...views, '/tasks/broken', '/nodes/gpu-1']) {
      await open(view)
      await page.locator('main h1').waitFor()
      await page.locator('main table, main .empty, main .facts, main .squares').first().waitFor({ state: 'attached' })
      expect([view, await page.evaluate('document.documentElement.scrollWidth')]).toEqual([view, 360])
    }
    await page.setViewportSize({ width: 1280, height: 800 })
    for (const view of ['/', '/tasks', '/nodes']) {
      await open(view)
      await page.locator('main table').first().waitFor()
      const spare = await page.evaluate<number>(
        `Math.min(...[...document.querySelectorAll('.scroll')].map((s) => s.clientWidth - s.scrollWidth))`,
      )
      expect([view, spare]).toEqual([view, 0])
    }
    await page.setViewportSize({ width: 1920, height: 1080 })
    await open('/?kiosk=1')
    await page.locator('.chart canvas').first().waitFor()
    expect(await page.locator('header.top').count()).toBe(0)
    expect(await page.evaluate('document.documentElement.scrollHeight')).toBe(1080)
  })
})
