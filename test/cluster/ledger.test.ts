import { expect, test } from 'vitest'

interface Ledger {
  violations: string[]
  figures: Record<string, number>
  acknowledged(submission: { task_id: string }, round: number): void
  observed(taskId: string, status: string, output: string | null, how: string, asked?: number): void
  computes(taskId: string, attempt: number, node: string, output: string): void
}
const { createLedger } = (await import(new URL('ledger.mjs', import.meta.url).href)) as { createLedger: () => Ledger }

function start() {
  const ledger = createLedger()
  ledger.computes('t', 1, 'n1', 'yes')
  ledger.computes('t', 2, 'n2', 'no')
  return ledger
}

test('the same end, seen in any way and as often as one likes, is no violation', () => {
  const ledger = start()
  ledger.observed('t', 'in_progress', null, 'GET')
  ledger.observed('t', 'completed', null, 'list')
  ledger.observed('t', 'completed', 'yes', 'session')
  ledger.observed('t', 'completed', 'yes', 'GET')
  expect(ledger.violations).toEqual([])
  expect(ledger.figures['reads older than what was known']).toBe(0)
})

test.each([
  ['two ends of one task', 'failed', null],
  ['two outputs of one task', 'completed', 'no'],
])('%s are a violation, also when the first was seen without its output', (_what, status, output) => {
  const ledger = start()
  ledger.observed('t', 'completed', null, 'list')
  ledger.observed('t', 'completed', 'yes', 'GET')
  ledger.observed('t', status, output, 'GET')
  expect(ledger.violations).toEqual([expect.stringMatching(/^I2: t /)])
})

test('an output that no node has computed is a violation', () => {
  const ledger = start()
  ledger.observed('t', 'completed', 'invented', 'GET')
  expect(ledger.violations).toEqual([expect.stringContaining('not what a node has computed')])
})

test('an attempt belongs to one node; that node computing it again is only counted', () => {
  const ledger = start()
  ledger.computes('t', 1, 'n1', 'yes')
  expect(ledger.violations).toEqual([])
  expect(ledger.figures['attempts computed again by their node']).toBe(1)
  ledger.computes('t', 1, 'n2', 'no')
  expect(ledger.violations).toEqual(['attempt 1 of t was given to n1 and to n2'])
})

test('a task that is open again counts as an old read only when it was asked for after its end was known', () => {
  const ledger = start()
  const asked = performance.now()
  ledger.observed('t', 'completed', 'yes', 'session')
  ledger.observed('t', 'in_progress', null, 'GET', asked)
  expect(ledger.figures['reads older than what was known']).toBe(0)
  ledger.observed('t', 'in_progress', null, 'GET', performance.now() + 1)
  expect(ledger.figures['reads older than what was known']).toBe(1)
})
