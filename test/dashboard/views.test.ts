import { expect, test } from 'vitest'
import { inBrowser, openDashboard, views } from '../support/dashboard.js'
import { beginTask, connectNode, fail, nextAssign, nextSettled } from '../support/node-session.js'
import { startService, task, type Service } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'
import { deferred } from '../support/wait.js'

/** A service with a node that works on a task and one that polls; a task each that waits, has ended, and has failed. */
async function busyService(settings: Parameters<typeof startService>[0] = {}): Promise<Service> {
  const service = await startService({ max_attempts: 1, ...settings })
  const node = await connectNode(service, 'gpu-1', { supported_models: ['llama-3-8b'], max_concurrent_tasks: 2 })
  await service.register('poller', { supported_models: ['other-model'], max_concurrent_tasks: 4 })
  const ended = await beginTask(service, node, 'ended')
  node.complete(ended, 'Paris')
  await nextSettled(node, 'ended')
  const failed = await beginTask(service, node, 'broken')
  fail(node, failed, true, 'CUDA out of memory')
  await service.reaches('broken', 'failed')
  await beginTask(service, node, 'working')
  await service.submit({ task_id: 'stranded', model_name: 'no-such-model' })
  return service
}

inBrowser(() => {
  test('the overview shows the four numbers and the models as REST has them', async () => {
    const service = await busyService()
    const { page, open, count, complaints, foreign } = await openDashboard(service)
    await open('/')
    const figures = page.locator('.figures.first .value')
    await figures.first().waitFor()
    const { data } = (await service.get('/api/v1/overview')).body ?? {}
    expect(data).toMatchObject({ failed_1h: 1, completed_1h: 1, totals: { pending_tasks: 1, processing_tasks: 1 } })
    const shown = await figures.allInnerTexts()
    expect([shown[0], shown[1], shown[3]]).toEqual(['1', '1', '1'])
    expect(shown[2]).toMatch(/^[\d.]+(?:ms|s|m.*)$/)
    // A name that no node has ever served has no row of its own.
    await page.getByText('other models: no node').waitFor()
    const models = (await service.get('/api/v1/models')).body?.data as {
      model: string
      waiting: number
      running: number
    }[]
    await count('.dense tbody tr', models.length)
    for (const m of models) {
      const cells = await page
        .locator('.dense tbody tr', { hasText: m.model === 'other' ? 'other models' : m.model })
        .first()
        .locator('td')
        .allInnerTexts()
      expect([m.model, cells[0], cells[2]]).toEqual([m.model, String(m.waiting), String(m.running)])
    }
    expect(await page.locator('.chart canvas').count()).toBe(4)
    // The same as a table, for who sees no chart.
    await page.locator('.chart summary').first().click()
    await page.locator('.chart tbody tr').first().waitFor()
    expect([complaints, foreign]).toEqual([[], []])
  })

  test('the tasks are listed as REST lists them, filtered as the address says, and back works', async () => {
    const service = await busyService()
    const { page, open, count } = await openDashboard(service)
    await open('/tasks')
    const ids = page.locator('tbody th a')
    await page.getByRole('link', { name: 'stranded' }).waitFor()
    const all = ((await service.get('/api/v1/tasks')).body?.data.tasks as { task_id: string }[]).map((t) => t.task_id)
    expect(await ids.allInnerTexts()).toEqual(all)
    await page.getByLabel('Status').selectOption('failed')
    await page.waitForURL(/\?status=failed$/)
    await count('tbody th a', 1)
    expect(await ids.allInnerTexts()).toEqual(['broken'])
    await page.getByText('CUDA out of memory').waitFor()
    await page.goBack()
    await count('tbody th a', all.length)
    await open('/tasks?status=timeout')
    await page.getByText('No task fits this filter.').waitFor()
    await page.getByRole('link', { name: 'Show all tasks' }).click()
    await page.getByRole('link', { name: 'stranded' }).waitFor()
  })

  test('a task shows where its time went, its texts on a click, and why it waits with the way out', async () => {
    const service = await busyService()
    const { page, open, text } = await openDashboard(service)
    await open('/tasks/broken')
    const row = page.locator('.waterfall tbody tr').first()
    await row.waitFor()
    expect(await row.innerText()).toMatch(/gpu-1[\s\S]*failed[\s\S]*fault: node[\s\S]*CUDA out of memory/)
    expect(await page.locator('.bars i').count()).toBeGreaterThan(0)
    expect(await page.locator('pre.text:visible').count()).toBe(0)
    await page.locator('summary', { hasText: 'Prompt' }).click()
    expect(await text('pre.text:visible')).toBe('What is the capital of France?')
    await open('/tasks/ended')
    await page.locator('summary', { hasText: 'Result' }).click()
    expect(await text('details[open] pre.text')).toBe('Paris')
    await open('/tasks/stranded')
    await page.getByText('No node serves its model.').waitFor()
    expect(await text('main pre code')).toContain(`--coordinator ${service.url} --model no-such-model`)
    await open('/tasks/nobody-knows')
    await page.getByText('There is no such task.').waitFor()
  })

  test('the nodes are shown with what they do; busy is not gone, and a node says why it has nothing to do', async () => {
    const service = await busyService()
    const { page, open } = await openDashboard(service)
    await open('/nodes')
    const row = (id: string) => page.locator('tbody tr', { hasText: id })
    await row('gpu-1').waitFor()
    expect(await row('gpu-1').innerText()).toMatch(/online[\s\S]*llama-3-8b[\s\S]*1 of 2 busy/)
    expect(await row('poller').innerText()).toMatch(/0 of 4 busy[\s\S]*polls/)
    await open('/nodes?q=POLL')
    await row('poller').waitFor()
    expect(await page.locator('tbody tr').count()).toBe(1)
    await page.getByRole('link', { name: 'poller' }).click()
    await page.getByText('1 waiting task is for a model that it does not serve.').waitFor()
    await page.getByRole('button', { name: 'Drain' }).click()
    await page.getByRole('button', { name: 'Resume' }).waitFor()
    expect((await service.get('/api/v1/nodes')).body?.data).toMatchObject([
      { drained: false },
      { node_id: 'poller', drained: true },
    ])
    await page.getByRole('button', { name: 'Resume' }).click()
    await page.getByRole('button', { name: 'Drain' }).waitFor()
    await page.getByRole('button', { name: 'Forget node' }).click()
    const forget = page.locator('dialog').getByRole('button', { name: 'Forget node' })
    expect(await forget.isDisabled()).toBe(true)
    await page.locator('dialog input').fill('poller')
    await forget.click()
    await page.waitForURL(/\/dashboard\/nodes$/)
    expect((await service.get('/api/v1/nodes')).body?.data).toMatchObject([{ node_id: 'gpu-1' }])
  })

  test('the fleet has a square for each slot', async () => {
    const service = await busyService()
    const { page, open } = await openDashboard(service)
    await open('/fleet')
    await page.locator('.squares').first().waitFor()
    expect(
      await page
        .locator('.fleet', { hasText: 'llama-3-8b' })
        .locator('.squares i')
        .evaluateAll((all) => all.map((i) => i.className)),
    ).toEqual(['slot-busy', 'slot-free'])
    expect(await page.locator('.fleet', { hasText: 'other-model' }).locator('.slot-free').count()).toBe(4)
  })

  test('health says what the service says of itself', async () => {
    const service = await busyService({ max_pending_tasks: 1, backup_dir: tempDir() })
    await service.post('/api/v1/tasks/submit', task({ task_id: 'refused' }))
    const { page, open } = await openDashboard(service)
    await open('/health')
    await page.getByText('The service works.').waitFor()
    await page.getByText('Nothing is out of the ordinary.').waitFor()
    // What it measures comes from where Prometheus reads it.
    const panel = (title: string) => page.locator('.panel', { has: page.getByRole('heading', { name: title }) })
    await panel('Measured').getByText('Event loop delay').waitFor()
    const measured = await panel('Measured').innerText()
    expect(measured).toMatch(/Database can be written\s*yes\s*Overloaded\s*no\s*Database\s*[\d.,]+\s?kB/)
    expect(measured).toMatch(/Write-ahead log\s*[\d.,]+\s?[kM]?B of 1\.1\s?GB\s*Backups\s*.*every 1d/)
    expect(measured).toMatch(/Operations in a turn\s*[\d.]+/)
    const limits = await panel('Limits')
      .locator('tbody tr', { hasText: 'max_pending_tasks' })
      .locator('td')
      .allInnerTexts()
    expect(limits.map((cell) => cell.trim())).toEqual(['1', '1', '100%'])
    expect(await panel('Limits').innerText()).toMatch(/Submissions\s*queue_full\s*1/)
    expect(await panel('Stored tasks').innerText()).toMatch(/All\s*4\s*waiting\s*1\s*running\s*1\s*completed\s*1/)
    const settings = panel('Configuration')
    expect(await settings.locator('tr', { hasText: 'max_attempts' }).first().innerText()).toMatch(
      /inference\.max_attempts\s*1\s*3/,
    )
    await settings.locator('summary').click()
    await settings.locator('tr', { hasText: 'inference.max_nodes' }).waitFor()
  })

  test('the fleet goes by family, and from 500 nodes on each model is one bar', async () => {
    const service = await busyService()
    const { page, open } = await openDashboard(service)
    await open('/fleet')
    await page.locator('.squares').first().waitFor()
    expect(await page.locator('main h2').allInnerTexts()).toEqual(['llama', 'Of no family'])
    const family = page.locator('section', { has: page.getByRole('heading', { name: 'llama', exact: true }) })
    expect(await family.locator('h3').allInnerTexts()).toEqual(['llama-3-8b'])
    const names = Array.from({ length: 498 }, (_, i) => `n${i}`)
    await Promise.all(names.map((id) => service.register(id, { supported_models: ['other-model'] })))
    await page.getByText('1 of 502 busy').or(page.getByText('0 of 502 busy')).waitFor()
    expect(await page.locator('.squares').count()).toBe(0)
    expect(await page.locator('.bar-of-slots').count()).toBe(2)
  })

  test('many tasks are cancelled together, after their number was shown', async () => {
    const service = await startService()
    for (let i = 0; i < 7; i++) await service.submit({ task_id: `t${i}` })
    await service.submit({ task_id: 'kept', model_name: 'other' })
    const { page, open } = await openDashboard(service)
    await open('/tasks?status=pending&model=llama-3-8b')
    await page.getByRole('button', { name: 'Cancel all of these' }).click()
    await page.getByText('7 tasks of this filter wait or run').waitFor()
    expect((await service.get('/api/v1/stats')).body?.data).toMatchObject({ pending_tasks: 8 })
    await page.getByRole('button', { name: 'Cancel 7 tasks' }).click()
    await page.getByText('7 of 7 done, 0 not.').waitFor()
    await page.getByRole('button', { name: 'Close' }).click()
    await page.getByText('No task fits this filter.').waitFor()
    expect((await service.get('/api/v1/stats')).body?.data).toMatchObject({ pending_tasks: 1 })
  })

  test('a bulk action can be stopped, and says what was not done and why', async () => {
    const service = await startService()
    for (let i = 0; i < 7; i++) await service.submit({ task_id: `t${i}`, infer_fee: i })
    const { page, open } = await openDashboard(service)
    await open('/tasks?status=pending')
    const held = deferred()
    await page.route('**/cancel', async (route) => {
      await held.promise
      await route.continue()
    })
    await page.getByRole('button', { name: 'Cancel all of these' }).click()
    const begin = page.getByRole('button', { name: 'Cancel 7 tasks' })
    await begin.waitFor()
    // The first of them has ended by now.
    const node = await connectNode(service, 'gpu-1', { supported_models: ['llama-3-8b'] })
    const a = await nextAssign(node, 't6')
    node.accept(a)
    node.complete(a)
    await nextSettled(node, 't6')
    await begin.click()
    await page.getByText('0 of 7 done, 0 not.').waitFor()
    await page.getByRole('button', { name: 'Stop' }).click()
    held.resolve()
    // Those that were asked already are answered.
    await page.getByText(/3 of 7 done, 1 not\. .+cannot be cancelled.+ Stopped\. What was done stays done\./).waitFor()
    await page.getByRole('button', { name: 'Close' }).click()
    expect((await service.get('/api/v1/tasks/t2')).body?.data.error).toBeNull()
  })

  test('where nothing has happened yet, each view says what to do next', async () => {
    const service = await startService()
    const { page, open, complaints } = await openDashboard(service)
    for (const [view, command] of [
      ['/', 'run-inference-node'],
      ['/tasks', '/api/v1/tasks/submit'],
      ['/nodes', 'run-inference-node'],
      ['/fleet', 'run-inference-node'],
    ] as const) {
      await open(view)
      await page.locator('.empty pre', { hasText: command }).waitFor()
      expect(await page.locator('.empty pre').innerText()).toContain(service.url)
    }
    expect(complaints).toEqual([])
  })

  test('keys lead to the views and to a task, and the address of a view is enough to come back to it', async () => {
    const service = await busyService()
    const { page, open } = await openDashboard(service)
    await open('/')
    await page.locator('main').waitFor()
    for (const view of views) {
      await page.keyboard.press('g')
      await page.keyboard.press(
        { '/': 'o', '/tasks': 't', '/nodes': 'n', '/fleet': 'm', '/feed': 'f', '/health': 'h' }[view],
      )
      await page.waitForURL(`${service.url}/dashboard${view}`)
      await page.locator('main').waitFor()
    }
    await page.keyboard.press('/')
    await page.keyboard.type('ended')
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'ended' }).waitFor()
    await page.reload()
    await page.locator('.waterfall tbody tr').first().waitFor()
    await page.keyboard.press('?')
    await page.getByRole('dialog').waitFor()
    await page.keyboard.press('Escape')
    await page.getByRole('dialog').waitFor({ state: 'detached' })
  })

  test('a letter after `g` leads to its view also when the view changes between the two', async () => {
    const service = await startService()
    const { page, open } = await openDashboard(service)
    await open('/')
    await page.locator('main').waitFor()
    const press = (...keys: string[]): Promise<unknown> =>
      page.evaluate(
        `for (const key of ${JSON.stringify(keys)}) document.body.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }))`,
      )
    // The first view is left in the same moment in which the second chord begins.
    await press('g', 't', 'g')
    await page.waitForURL(`${service.url}/dashboard/tasks`)
    await page.locator('nav [aria-current]', { hasText: 'Tasks' }).waitFor()
    await press('h')
    await page.waitForURL(`${service.url}/dashboard/health`)
  })

  test('a task that a node has is shown with its new end', async () => {
    const service = await startService()
    const node = await connectNode(service, 'gpu-1', { supported_models: ['llama-3-8b'] })
    const { page, open } = await openDashboard(service)
    await service.submit({ task_id: 'one' })
    const a = await nextAssign(node, 'one')
    await open('/tasks/one')
    await page.locator('dd', { hasText: 'running' }).first().waitFor()
    node.accept(a)
    node.complete(a, 'Paris')
    await page.locator('dd', { hasText: 'completed' }).first().waitFor()
    await page.getByRole('button', { name: 'Cancel task' }).waitFor({ state: 'detached' })
  })
})
