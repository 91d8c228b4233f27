import { describe, expect, test } from 'vitest'
import { noBrowser, openPage } from '../support/browser.js'
import { startHttp } from '../support/http-server.js'
import { startService, task, type Service } from '../support/service.js'

/** What a page tries, in its own words: each attempt says what it got to read, or `refused`. */
const attempts = (service: Service, taskId: string): string => `
  const refused = () => 'refused'
  const get = (path, init) => fetch('${service.url}' + path, init).then((r) => r.text(), refused)
  const load = (element, path) => new Promise((resolve) => {
    element.onload = () => resolve('loaded')
    element.onerror = () => resolve('refused')
    element.src = '${service.url}' + path
    document.body.append(element)
  })
  const postForm = (path, fields) => new Promise((resolve) => {
    const frame = document.createElement('iframe')
    frame.name = 'frame' + Math.random()
    document.body.append(frame)
    const form = document.createElement('form')
    Object.assign(form, { method: 'POST', action: '${service.url}' + path, target: frame.name, enctype: 'text/plain' })
    for (const [name, value] of Object.entries(fields))
      form.append(Object.assign(document.createElement('input'), { name, value }))
    document.body.append(form)
    frame.onload = () => {
      let text = 'refused'
      try { text = frame.contentDocument.body.innerText } catch {}
      resolve(text)
    }
    form.submit()
  })
  const dial = (path, protocol) => new Promise((resolve) => {
    const socket = new WebSocket('${service.url.replace('http', 'ws')}' + path, protocol)
    socket.onmessage = ({ data }) => resolve(data)
    socket.onclose = () => resolve('refused')
  })
  const json = { method: 'POST', headers: { 'content-type': 'application/json' } }
  ;(async () => ({
    stats: await get('/api/v1/stats'),
    tasks: await get('/api/v1/tasks'),
    cancel: await get('/api/v1/tasks/${taskId}/cancel', { method: 'POST' }),
    blindCancel: await get('/api/v1/tasks/${taskId}/cancel', { method: 'POST', mode: 'no-cors' }),
    submit: await get('/api/v1/tasks/submit', { ...json, body: ${JSON.stringify(JSON.stringify(task({ task_id: 'from-page' })))} }),
    drain: await get('/api/v1/nodes/polling/drain', { method: 'POST', mode: 'no-cors' }),
    forget: await get('/api/v1/nodes/polling', { method: 'DELETE' }),
    poll: await load(document.createElement('img'), '/api/v1/nodes/polling/tasks'),
    script: await load(document.createElement('script'), '/api/v1/nodes/polling/tasks'),
    form: await postForm('/api/v1/tasks/${taskId}/cancel', {}),
    beacon: navigator.sendBeacon('${service.url}/api/v1/tasks/${taskId}/cancel') && 'refused',
    session: await dial('/api/v1/tasks/connect', 'inference-client.v1'),
    nodeSession: await dial('/api/v1/nodes/connect', 'inference-node.v1'),
    last: await get('/health'), // what was sent before has come
  }))()`

const emptyPage = () =>
  startHttp((_request, response) => void response.setHeader('Content-Type', 'text/html').end('<body></body>'))

/** A service with a task that waits, and a node that could take it. */
async function serviceWithTask(settings: Parameters<typeof startService>[0] = {}) {
  const service = await startService(settings)
  await service.register('polling')
  return { service, taskId: await service.submit() }
}

describe.skipIf(noBrowser !== null)(`in a real browser${noBrowser === null ? '' : `: skipped, ${noBrowser}`}`, () => {
  test.each(['127.0.0.1', 'localhost', 'evil.example'])(
    'a page of another origin, on %s, reads nothing and changes nothing',
    async (host) => {
      const { service, taskId } = await serviceWithTask()
      const { port } = await emptyPage()
      const page = await openPage(['evil.example'])
      const answered: [string, number][] = []
      page.on('response', (r) => {
        if (r.url().startsWith(service.url)) answered.push([r.url(), r.status()])
      })
      await page.goto(`http://${host}:${port}/`)
      const got = await page.evaluate<Record<string, string>>(attempts(service, taskId))
      // What a browser answers to mode no-cors is empty, whatever came.
      expect(Object.entries(got).filter(([, text]) => text !== 'refused' && text !== '')).toEqual([])
      expect(Object.keys(got)).toHaveLength(14)
      expect(answered).toContainEqual([`${service.url}/api/v1/tasks/${taskId}/cancel`, 403])
      expect(answered.filter(([, status]) => status !== 403)).toEqual([])
      expect(await service.status(taskId)).toMatchObject({ status: 'pending', attempts: 0 })
      expect((await service.get('/api/v1/stats')).body?.data).toMatchObject({ total_tasks: 1, total_nodes: 1 })
      expect((await service.get('/api/v1/nodes')).body?.data).toMatchObject([{ node_id: 'polling', drained: false }])
      expect((await service.get('/api/v1/tasks/from-page/status')).status).toBe(404)
    },
  )

  test('a name that was made to lead to this machine reads nothing, though it is of the same origin', async () => {
    const { service, taskId } = await serviceWithTask()
    const rebound = service.url.replace('127.0.0.1', 'evil.example')
    const page = await openPage(['evil.example'])
    expect((await page.goto(`${rebound}/api/v1/stats`))?.status()).toBe(421)
    const read = await page.evaluate(`fetch('/api/v1/stats').then(async (r) => [r.status, (await r.json()).code])`)
    expect(read).toEqual([421, 'wrong_host'])
    await page.evaluate(`fetch('/api/v1/tasks/${taskId}/cancel', { method: 'POST' })`)
    expect(await service.status(taskId)).toMatchObject({ status: 'pending' })
  })

  test('a page of a listed origin reads, submits and opens a session', async () => {
    const { port } = await emptyPage()
    const { service, taskId } = await serviceWithTask({ cors_origins: [`http://localhost:${port}`] })
    const page = await openPage()
    await page.goto(`http://localhost:${port}/`)
    const read = await page.evaluate(
      `fetch('${service.url}/api/v1/stats').then(async (r) => [r.status, r.headers.get('X-Request-Id'), await r.json()])`,
    )
    expect(read).toEqual([200, expect.stringMatching(/./), expect.objectContaining({ success: true })])
    const got = await page.evaluate<Record<string, string>>(attempts(service, taskId))
    expect(JSON.parse(got['submit'] ?? '')).toMatchObject({ data: { task_id: 'from-page' } })
    expect(JSON.parse(got['cancel'] ?? '')).toMatchObject({ success: true })
    expect(JSON.parse(got['session'] ?? '')).toMatchObject({ type: 'session.welcome' })
  })

  test('a page that the service itself would serve may do all', async () => {
    const { service } = await serviceWithTask()
    const page = await openPage()
    expect((await page.goto(`${service.url}/health`))?.status()).toBe(200)
    const body = JSON.stringify(task({ task_id: 'own' }))
    const submit = `fetch('/api/v1/tasks/submit', { method: 'POST', headers: { 'content-type': 'application/json' }, body: ${JSON.stringify(body)} })`
    expect(await page.evaluate(`${submit}.then((r) => r.status)`)).toBe(200)
    expect(await service.status('own')).toMatchObject({ status: 'pending' })
  })
})
