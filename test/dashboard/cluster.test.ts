import { expect, test } from 'vitest'
import { startClustered } from '../support/cluster.js'
import { inBrowser, openDashboard } from '../support/dashboard.js'
import { createMemoryLog } from '../support/memory-log.js'
import { startService } from '../support/service.js'
import { until } from '../support/wait.js'

inBrowser(() => {
  test('health has the cluster of a service: who follows, and how far behind; in both languages, and not without one', async () => {
    const log = createMemoryLog()
    const c1 = await startClustered(log, 'c1')
    await c1.becomes('owner')
    const { page, open } = await openDashboard(c1)
    await open('/health')
    await page.getByText('No other coordinator follows: when this one is lost nobody takes over.').waitFor()
    const c2 = await startClustered(log, 'c2')
    await c2.becomes('follower')
    const row = page.locator('tbody tr', { hasText: c2.url })
    await row.waitFor()
    await until(async () => /c2[\s\S]*level with the owner/.test(await row.innerText()), 'c2 being level')
    const panel = page.locator('.panel', { has: page.getByRole('heading', { name: 'Cluster', exact: true }) })
    expect(await panel.innerText()).toMatch(/This coordinator\s*c1[\s\S]*owns the work[\s\S]*Epoch\s*1/)
    const chinese = await openDashboard(c1, { language: 'zh' })
    await chinese.open('/health')
    await chinese.page.getByRole('heading', { name: '集群', exact: true }).waitFor()

    const single = await openDashboard(await startService())
    await single.open('/health')
    await single.page.getByText('The service works.').waitFor()
    expect(await single.page.getByRole('heading', { name: 'Cluster', exact: true }).count()).toBe(0)
  })
})
