import { execFile, spawnSync } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { accepted } from '../support/client.js'
import { asking, blocksOf, runExample } from '../support/examples.js'
import { connectNode } from '../support/node-session.js'
import { answeringNode, startAsked } from '../support/openai.js'
import { task } from '../support/service.js'

const ANSWER = 'A right for a time.'
/** A service with a node that answers everything. */
async function answering() {
  const service = await startAsked()
  await answeringNode(service, 'n', () => ({ pieces: ['A right ', 'for a time.'] }))
  return service
}
const scripts = (page: string): string[] =>
  blocksOf(page).flatMap(({ language, text }) => (language === 'js' ? [text] : []))

/** Runs a block to its end. @returns what it has printed, line by line */
async function printed(text: string, url: string): Promise<string[]> {
  const child = runExample(asking(text, url))
  expect({ ...(await child.exit), err: child.err }).toEqual({ code: 0, signal: null, err: [] })
  return child.out
}

describe('the examples of docs/client.md', () => {
  const [run = '', stream = '', abort = '', look = '', ...more] = scripts('docs/client.md')

  test('are all run here', () => {
    expect(look).toContain('client.list')
    expect(more).toEqual([])
  })

  test('a result, word by word, and what there is', async () => {
    const service = await answering()
    expect(await printed(run, service.url)).toEqual([ANSWER])
    expect(await printed(stream, service.url)).toEqual(['true true'])
    const lines = await printed(look, service.url)
    expect(lines).toEqual([
      expect.stringMatching(/ completed$/),
      expect.stringMatching(/ completed$/),
      `[ 'llama-3-8b' ]`,
    ])
  })

  test('giving up', async () => {
    const service = await startAsked()
    const node = await connectNode(service, 'n')
    const lines = printed(abort.replace(', 500)', ', 2000)'), service.url)
    await accepted(node)
    await node.next('task.cancel', { reason: 'cancelled' })
    expect(await lines).toEqual(['AbortError aborted report-2026-11'])
    expect(await service.status('report-2026-11')).toMatchObject({ status: 'failed', error: 'cancelled' })
  })
})

test('the examples in JavaScript of docs/openai.md and docs/streaming.md print the answer', async () => {
  const service = await answering()
  await service.post('/api/v1/tasks?wait=60', task({ task_id: 'task-001' }))
  const all = ['docs/openai.md', 'docs/streaming.md'].flatMap(scripts)
  expect(all).toHaveLength(2)
  for (const text of all) expect(await printed(text, service.url)).toEqual([ANSWER])
})

describe.runIf(spawnSync('curl', ['--version']).status === 0)('by curl', () => {
  const curl = async (text: string, url: string): Promise<string> =>
    (await promisify(execFile)('bash', ['-e', '-c', asking(text, url)])).stdout
  const curls = (page: string): string[] =>
    blocksOf(page).flatMap(({ language, text }) => (language === 'bash' ? [text] : []))

  test('the examples of docs/streaming.md: one request waits for the answer, the next reads it as events', async () => {
    const service = await answering()
    const [wait = '', events = '', ...more] = curls('docs/streaming.md')
    expect(more).toEqual([])
    expect(JSON.parse(await curl(wait, service.url))).toMatchObject({
      data: { task_id: 'task-001', status: 'completed', result: { output: ANSWER } },
    })
    const told = await curl(events, service.url)
    expect(told).toContain(`"delta":"${ANSWER}"`)
    expect(told).toMatch(/event: result\nid: 1\.\d+\.end\ndata: .*\n\n$/)
  })

  test('the example of docs/openai.md streams', async () => {
    const service = await answering()
    const [stream = '', ...more] = curls('docs/openai.md')
    expect(more).toEqual([])
    const told = await curl(stream, service.url)
    expect(told).toContain('"content":"A right "')
    expect(told.trimEnd().endsWith('data: [DONE]')).toBe(true)
  })
})
