import { pino } from 'pino'
import { expect, test } from 'vitest'
import { logEvents } from '../../src/inference-node/event-log.js'
import type { DisconnectedEvent, NodeEvent } from '../../src/inference-node/events.js'

/** The messages of the log, and a clock that the test moves. */
function collect() {
  const lines: string[] = []
  let ms = 0
  const log = pino(
    { level: 'debug' },
    { write: (line: string) => void lines.push((JSON.parse(line) as { msg: string }).msg) },
  )
  return { lines, emit: logEvents(log, () => ms), pass: (seconds: number) => void (ms += seconds * 1000) }
}
const lost = (given: Partial<DisconnectedEvent> = {}): NodeEvent => ({
  type: 'disconnected',
  code: 1006,
  reason: 'http://x is no coordinator (404)',
  welcomed: false,
  renewal: false,
  retry_in: 0.512,
  ...given,
})

test('the fifth equal line is one line a minute, and says how many there were', () => {
  const { lines, emit, pass } = collect()
  for (let i = 0; i < 100; i++) {
    emit(lost())
    pass(2)
  }
  const said = 'not connected: http://x is no coordinator (404)'
  expect(lines.slice(0, 4)).toEqual(Array(4).fill(`${said}; trying again in 0.5 s`))
  // The fourth came at 6 s; the 34th at 66 s.
  expect(lines.slice(4)).toEqual([`${said}; 34 times now`, `${said}; 64 times now`, `${said}; 94 times now`])
})

test('another reason is said at once', () => {
  const { lines, emit } = collect()
  for (let i = 0; i < 10; i++) emit(lost())
  emit(lost({ reason: 'the connection was lost (read ECONNRESET)', welcomed: true }))
  emit(lost({ reason: 'stopping', welcomed: true, code: 1001, retry_in: 12.3 }))
  expect(lines.slice(4)).toEqual([
    'disconnected: the connection was lost (read ECONNRESET); trying again in 0.5 s',
    'disconnected: stopping (1001); trying again in 12 s',
  ])
})

test('what ends the node is not said here: the command ends with it', () => {
  const { lines, emit } = collect()
  emit(lost({ code: 4403, reason: 'banned', retry_in: null }))
  emit({ type: 'stopped', end: { reason: 'fatal', unsettled: 1, error: new Error('banned') } })
  expect(lines).toEqual(['stopped; 1 result not settled'])
})

test('a line about a task names it', () => {
  const { lines, emit } = collect()
  const ref = { task_id: 'task-1', attempt: 2 }
  emit({ type: 'assigned', ...ref, model_name: 'llama-3-8b', max_infer_time: 60 })
  emit({ type: 'rejected', ...ref, reason: 'no room' })
  emit({ type: 'completed', ...ref, characters: 1, completion_tokens: null, seconds: 0.0523 })
  emit({ type: 'failed', ...ref, error: 'broken', retryable: true, seconds: 75.2 })
  emit({ type: 'cancelled', ...ref, reason: 'timeout' })
  emit({ type: 'cancelled', ...ref, reason: 'stopped' })
  emit({ type: 'settled', ...ref, status: 'completed' })
  emit({ type: 'refused', ...ref, code: 'not_holder', message: 'never yours' })
  expect(lines).toEqual([
    'task-1/2 assigned: llama-3-8b',
    'task-1/2 rejected: no room',
    'task-1/2 completed in 0.1 s, 1 character',
    'task-1/2 failed after 75 s: broken',
    'task-1/2 stopped: timeout',
    'task-1/2 given up: the coordinator gives it to another node',
    'task-1/2 settled: completed',
    'the result of task-1/2 is refused: never yours (not_holder)',
  ])
})
