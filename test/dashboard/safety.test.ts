import { expect, test } from 'vitest'
import { makeTokenIn, startGuarded } from '../support/access.js'
import { inBrowser, knowsToken, openDashboard, views } from '../support/dashboard.js'
import { beginTask, connectNode, fail, nextSettled } from '../support/node-session.js'
import { startService } from '../support/service.js'

const EVIL = `<img src=x onerror="window.pwned = 1"><script>window.pwned = 2</script>`

inBrowser(() => {
  test('what strangers write is text in every view, and no other host is asked for anything', async () => {
    const service = await startService({ max_attempts: 1 })
    const name = `<img src=x onerror=alert(1)>`
    const node = await connectNode(service, `node ${name}`, { supported_models: [name] })
    const more = { user_input: EVIL, context: EVIL, user_address: name, model_name: name }
    const a = await beginTask(service, node, `done ${name}`, more)
    node.complete(a, EVIL)
    await nextSettled(node, a.task_id)
    const b = await beginTask(service, node, `failed ${name}`, more)
    fail(node, b, true, EVIL)
    await service.reaches(b.task_id, 'failed')
    await service.submit({ ...more, task_id: `waits ${name}`, model_name: `x'; rm ${name}` })
    const { page, open, complaints, foreign } = await openDashboard(service)
    const ids = [a.task_id, b.task_id, `waits ${name}`].map((id) => `/tasks/${encodeURIComponent(id)}`)
    for (const view of [...views, ...ids, `/nodes/${encodeURIComponent(node.id)}`]) {
      await open(view)
      await page.locator('main').waitFor()
      await page.locator('.live', { hasText: 'live' }).waitFor()
      if (ids.includes(view)) await page.locator('main summary').first().waitFor()
      for (const summary of await page.locator('main summary').all()) await summary.click()
      if (ids.includes(view)) await page.locator('pre.text', { hasText: EVIL }).first().waitFor()
      expect([view, await page.locator('main img, main script').count()]).toEqual([view, 0])
      expect(await page.evaluate('window.pwned')).toBeUndefined()
    }
    expect([complaints, foreign]).toEqual([[], []])
  })

  test('behind tokens the page asks for one, keeps it in its tab alone, and forgets it on demand', async () => {
    const service = await startGuarded({}, (token) => token('viewer'))
    const viewer = makeTokenIn(service.file, 'viewer')
    await knowsToken(service, viewer)
    const { page, open, complaints } = await openDashboard(service)
    const urls: string[] = []
    page.on('request', (request) => urls.push(request.url()))
    await open('/tasks')
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
    await page.getByLabel('Token').fill('not-a-token')
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByText('This is no token').waitFor()
    await page.getByLabel('Token').fill(viewer.slice(0, -1) + (viewer.endsWith('a') ? 'b' : 'a'))
    await page.getByRole('button', { name: 'Sign in' }).click()
    // What is typed before the answer is there is lost with the form, which is made anew.
    await page
      .getByText('The service does not take this token.')
      .or(page.getByText('no token of this service'))
      .waitFor()
    await page.getByLabel('Token').fill(viewer)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByText('No task was submitted yet.').waitFor()
    await page.locator('.live', { hasText: 'live' }).waitFor()
    await page.reload()
    await page.getByText('No task was submitted yet.').waitFor()
    expect(urls.filter((url) => url.includes(viewer) || url.includes('sis_'))).toEqual([])
    expect(await page.context().cookies()).toEqual([])
    expect(await page.evaluate('JSON.stringify(localStorage)')).not.toContain('sis_')
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
    expect(await page.evaluate('JSON.stringify(sessionStorage)')).not.toContain('sis_')
    expect(complaints).toEqual([])
  })

  test('without a right there is no button and no text', async () => {
    const service = await startGuarded()
    const token = (role: string): string => makeTokenIn(service.file, role)
    await service.asAdmin.post('/api/v1/tasks/submit', {
      task_id: 'secret',
      user_address: 'ST1PQHQKV0RJXZFY1DGX8MNSNYVE3VGZJSRTPGZGM',
      user_input: 'nobody is to read this',
      infer_fee: 1,
      max_infer_time: 60,
      model_name: 'llama',
    })
    const looks = await openDashboard(service, { token: token('viewer') })
    await looks.open('/tasks/secret')
    await looks.page.getByText('Prompt: this token may not read texts.').waitFor()
    for (const view of ['/tasks/secret', '/tasks', '/']) {
      await looks.open(view)
      await looks.page.locator('main').waitFor()
      await looks.page.locator('.live', { hasText: 'live' }).waitFor()
      const buttons = await looks.page.locator('main').getByRole('button').allInnerTexts()
      expect(buttons.filter((name) => /cancel|retry|drain|forget|resume|curl/i.test(name))).toEqual([])
      expect(await looks.page.locator('body').innerText()).not.toMatch(/nobody is to read|ST1PQHQ/)
    }
    const user = await openDashboard(service, { token: token('user') })
    await user.open('/')
    await user.page.waitForURL(/\/dashboard\/tasks$/)
    await user.page.locator('nav[aria-label=Views] a').first().waitFor()
    expect(await user.page.locator('nav[aria-label=Views] a').allInnerTexts()).toEqual(['Tasks', 'Nodes', 'Fleet'])
    const leads = await openDashboard(service, { token: token('operator') })
    await leads.open('/tasks/secret')
    await leads.page.getByRole('button', { name: 'Cancel task' }).waitFor()
    await leads.page.getByText('Prompt: this token may not read texts.').waitFor()
    const counts = await openDashboard(service, { token: token('metrics') })
    await counts.open('/')
    await counts.page.getByText('This token may not look at anything here.').waitFor()
  })

  test('a token that is revoked while the page is open leads back to the sign-in', async () => {
    const service = await startGuarded()
    const viewer = makeTokenIn(service.file, 'viewer')
    const { page, open } = await openDashboard(service, { token: viewer })
    await open('/')
    await page.locator('.live', { hasText: 'live' }).waitFor()
    const tokens = (await service.asAdmin.get('/api/v1/tokens')).body?.data.tokens as { id: string; role: string }[]
    const id = tokens.find(({ role }) => role === 'viewer')?.id
    expect((await service.asAdmin.send('DELETE', `/api/v1/tokens/${id}`)).status).toBe(200)
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
  })
})
