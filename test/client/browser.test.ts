import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { makeTokenIn, OWNER } from '../support/access.js'
import { noBrowser, openPage } from '../support/browser.js'
import { bundleClient } from '../support/client-bundle.js'
import { accepted, asked, speaker } from '../support/client.js'
import { startFront } from '../support/front.js'
import { startHttp } from '../support/http-server.js'
import { connectNode } from '../support/node-session.js'
import { startService } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'
import { until } from '../support/wait.js'

/** A page of another origin that the service lets in, and has the client of this address as `client`. */
async function scene(way: 'session' | 'rest', guarded = false) {
  const { code } = await bundleClient()
  const { port } = await startHttp((request, response) => {
    if (request.url === '/client.js') response.setHeader('Content-Type', 'text/javascript').end(code)
    else response.setHeader('Content-Type', 'text/html').end('<body></body>')
  })
  const database_path = join(tempDir(), 'inference.db')
  const token = guarded ? makeTokenIn(database_path, 'user') : undefined
  const service = await startService({ database_path, cors_origins: [`http://localhost:${port}`] })
  const front = await startFront(service)
  if (way === 'rest') front.webSockets('refused')
  const page = await openPage()
  await page.goto(`http://localhost:${port}/`)
  const options = JSON.stringify({ url: front.url, token })
  await page.evaluate(
    `import('/client.js').then(({ InferenceClient }) => { globalThis.client = new InferenceClient(${options}) })`,
  )
  return { service, front, page, run: <T>(script: string) => page.evaluate<T>(script) }
}
const readStream = (submission: object): string => `(async () => {
  globalThis.text = ''
  const stream = client.stream(${JSON.stringify(submission)})
  for await (const piece of stream) globalThis.text += piece
  return [globalThis.text, stream.restarted, (await stream.result).output]
})()`

describe.skipIf(noBrowser !== null)(`in a real browser${noBrowser === null ? '' : `: skipped, ${noBrowser}`}`, () => {
  test.each(['session', 'rest'] as const)(
    'by %s a stream that is cut arrives whole, each character once',
    async (way) => {
      const { service, front, run } = await scene(way)
      const result = run(readStream(asked({ task_id: 'a' })))
      const node = await connectNode(service, 'n')
      const assigned = await accepted(node)
      const say = speaker(node, assigned)
      say('Grüß 😀 ')
      await until(async () => (await run('globalThis.text')) === 'Grüß 😀 ', 'the first piece')
      front.cut()
      say('aus dem ')
      await until(async () => (await run('globalThis.text')) === 'Grüß 😀 aus dem ', 'the second piece')
      node.complete(assigned, 'Grüß 😀 aus dem Browser')
      expect(await result).toEqual(['Grüß 😀 aus dem Browser', 0, 'Grüß 😀 aus dem Browser'])
      expect(await run('(async () => { for await (const { task_id, status } of client.list()) return [task_id, status] })()')).toEqual(['a', 'completed']) // prettier-ignore
    },
  )

  test.each(['session', 'rest'] as const)('by %s a token is shown, and an abort cancels the task', async (way) => {
    const { service, run } = await scene(way, true)
    const submission = JSON.stringify(asked({ task_id: 'a', user_address: OWNER }))
    const result = run<string[]>(`(() => {
      globalThis.control = new AbortController()
      return client.run(${submission}, { signal: control.signal }).then(
        () => ['no error'],
        (error) => [error.name, error.code, error.task_id],
      )
    })()`)
    expect(await run(`client.submit(${submission})`)).toMatchObject({ task_id: 'a' })
    await run('control.abort()')
    expect(await result).toEqual(['AbortError', 'aborted', 'a'])
    await until(
      async () => (await run<{ status: string }>(`client.get('a')`)).status === 'failed',
      'the cancelled task',
    )
    expect(await run(`client.get('a').then((t) => t.error)`)).toBe('cancelled')
    expect((await service.get('/api/v1/tasks/a')).status).toBe(401)
  })
})
