import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { inProcess, refusedInProcess } from '../support/command.js'
import { connectNode } from '../support/node-session.js'
import { startService } from '../support/service.js'

/** A service that answers the same to everything. */
async function startAnswering(data: unknown): Promise<string> {
  const server = createServer((_, response) => response.end(JSON.stringify({ success: true, data, error: null })))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
const columnsOf = (lines: string[]): string[][] => lines.map((line) => line.split(/ {2,}/))

const node = {
  node_id: 'n',
  status: 'maintenance',
  status_reason: 'the model server is \u001b[1mdown',
  transport: 'websocket',
  supported_models: ['llama-3-8b', 'mistral'],
  in_progress_tasks: 1,
  max_concurrent_tasks: 4,
  drained: true,
  failures_in_row: 2,
  cooled_until: 1_700_000_000,
  average_inference_time: 1.25,
  success_rate: 0.755,
  last_heartbeat: 1_700_000_001,
  public_key: '02ab',
  endpoint: '',
  probation: false,
  session_since_ms: null,
  agent: 'theirs/1.0',
  features: ['params', 'tools'],
  rates: { completed: 3, failed: 1, run_p50: 1.5, run_p95: 4, tokens_per_second: 31.25, models_run_p50: 1.2 },
  idle_because: { model: 4, feature: 0, failed_before: 1, cooldown: 0, drained: 7, of_a_newer_one: 2 },
  recent_attempts: [
    {
      task_id: 't1',
      attempt: 2,
      model_name: 'mistral',
      assigned_ms: 1_700_000_000_000,
      accepted_ms: 1_700_000_000_100,
      first_word_ms: 1_700_000_000_600,
      ended_ms: 1_700_000_003_100,
      end: 'failed',
      fault: 'node',
      completion_tokens: null,
    },
    {
      task_id: 't2',
      attempt: 1,
      model_name: 'mistral',
      assigned_ms: 1_700_000_001_000,
      accepted_ms: null,
      first_word_ms: null,
      ended_ms: null,
      end: null,
      fault: null,
      completion_tokens: null,
    },
  ],
  brand_new: { deep: 1 },
}

test('nodes show has all that is known of a node, why it is idle, what it did of late, and what a newer service says', async () => {
  const url = await startAnswering(node)
  expect(columnsOf((await inProcess(['nodes', 'show', 'n', '--url', url])).out)).toEqual([
    ['node', 'n'],
    ['status', 'maintenance (drained)'],
    ['reason', 'the model server is \\x1b[1mdown'],
    [
      'idle because',
      'of what waits: 4 for models that it does not serve; 1 it has failed before; 7 it does not get: it is drained, or in maintenance; 2 it does not get: of a newer one',
    ],
    ['transport', 'websocket'],
    ['agent', 'theirs/1.0'],
    ['models', 'llama-3-8b, mistral'],
    ['features', 'params, tools'],
    ['tasks', '1 of 4 at once'],
    ['success', '76 %'],
    ['of late', '3 completed, 1 failed'],
    ['speed', 'half of them within 1.5 s, 95 % within 4.0 s; of all nodes half within 1.2 s; 31.3 tokens/s'],
    ['mean time', '1.3 s'],
    ['failures', '2 in a row'],
    ['cooldown', 'until 2023-11-14T22:13:20Z'],
    ['last seen', '2023-11-14T22:13:21Z'],
    ['public key', '02ab'],
    ['brand new', '{"deep":1}'],
    [''],
    ['newest attempts'],
    ['task', '#', 'model', 'given', 'first word', 'took', 'tokens', 'end', 'fault'],
    ['----', '-', '-------', '--------------------', '----------', '-----', '------', '-----------', '-----'],
    ['t1', '2', 'mistral', '2023-11-14T22:13:20Z', '0.5 s', '3.0 s', '-', 'failed', 'node'],
    ['t2', '1', 'mistral', '2023-11-14T22:13:21Z', '-', '-', '-', 'works on it', '-'],
  ])
})

test('nodes list ends with the reason of each node, without control characters', async () => {
  const url = await startAnswering([node])
  const { out } = await inProcess(['nodes', 'list', '--url', url])
  expect(out[0]).toMatch(/last seen +reason$/)
  expect(out[2]).toMatch(/the model server is \\x1b\[1mdown$/)
})

test('nodes show of a real service, as text and as JSON, and of a node that is not there', async () => {
  const service = await startService()
  const at = ['--url', service.url]
  const session = await connectNode(service, 'n')
  await service.submit({ task_id: 'a' })
  session.accept(await session.next('task.assign'))
  await service.submit({ task_id: 'b', model_name: 'mistral-7b' })
  const facts = async (): Promise<Map<string, string>> =>
    new Map(
      columnsOf((await inProcess(['nodes', 'show', 'n', ...at])).out).map(([name = '', value = '']) => [name, value]),
    )
  const busy = await facts()
  expect(busy.get('idle because')).toBe('it is not: all its slots are busy')
  expect(busy.get('a')).toBe('1')
  session.complete({ task_id: 'a', attempt: 1 })
  await session.next('task.settled')
  const idle = await facts()
  expect(idle.get('idle because')).toBe('of what waits: 1 for models that it does not serve')
  expect(idle.get('of late')).toBe('1 completed, 0 failed')
  expect((await inProcess(['nodes', 'show', 'n', '--json', ...at])).json()).toEqual(
    (await service.get('/api/v1/nodes/n')).body?.data,
  )
  await refusedInProcess(['nodes', 'show', 'other', ...at], 1, ['there is no node other'])
})
