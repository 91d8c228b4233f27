import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Alert } from '../../src/core/anomalies/alerts.js'
import { createAnomalies } from '../../src/core/anomalies/index.js'
import { coreOptions, inferenceDefaults } from '../../src/config.js'
import { createRecentlyUsed } from '../../src/lib/recently-used.js'
import { createWindow } from '../../src/core/anomalies/window.js'

const MINUTE = 60_000
const HOUR = 60 * MINUTE

function watching() {
  const told: Alert[] = []
  let wall = 0
  const anomalies = createAnomalies(
    coreOptions(inferenceDefaults({ database_path: 'none' })).alerts,
    () => wall,
    (alert) => told.push({ ...alert }),
  )
  return {
    ...anomalies,
    told,
    kinds: () => told.map((a) => `${a.kind} ${a.subject}`),
    at: (ms: number) => (wall = ms),
  }
}
const answer = (more: Partial<Parameters<ReturnType<typeof watching>['answered']>[0]> = {}) => ({
  task_id: 't',
  node_id: 'n',
  network: '',
  ms: 2000,
  output: 'A lease is a right for a limited time.',
  completion_tokens: null,
  others_serve: true,
  ...more,
})
const attempt = (more: Partial<Parameters<ReturnType<typeof watching>['ended']>[0]> = {}) => ({
  node_id: 'n',
  model: 'llama',
  end: 'completed' as const,
  accepted: true,
  blamed: false,
  ...more,
})

describe('windows', () => {
  test('a window sums what is younger than its span, to the width of a slice', () => {
    const step = fc.record({ wait: fc.integer({ min: 0, max: 400 }), n: fc.integer({ min: 0, max: 9 }) })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const window = createWindow(1200, 12)
        const added: { at: number; n: number }[] = []
        let now = 0
        for (const { wait, n } of steps) {
          now += wait
          window.add(now, n)
          added.push({ at: now, n })
          const slice = Math.floor(now / 100)
          const expected = added.filter((a) => slice - Math.floor(a.at / 100) < 12).reduce((sum, a) => sum + a.n, 0)
          expect(window.sum(now)).toBe(expected)
        }
      }),
    )
  })
  test('of too many subjects the one that was looked at longest ago is forgotten', () => {
    const subjects = createRecentlyUsed(2, (key) => ({ key }))
    const a = subjects.of('a')
    subjects.of('b')
    subjects.of('a')
    subjects.of('c')
    expect([subjects.of('a') === a, subjects.peek('b'), subjects.size()]).toEqual([true, undefined, 2])
  })
})

describe('nodes', () => {
  test('a node that fails far more than in its hour is told of once in ten minutes, and is on probation', () => {
    const w = watching()
    for (let i = 0; i < 100; i++) w.ended(attempt({ end: 'failed', blamed: i % 20 === 0 }), i * 1000)
    for (let i = 0; i < 40; i++) w.ended(attempt({ end: 'failed', blamed: true }), 30 * MINUTE + i * 1000)
    expect(w.kinds()).toContain('failure_rate n')
    expect(w.told.filter((a) => a.kind === 'failure_rate' && a.subject === 'n')).toHaveLength(1)
    expect(w.takeActs()).toMatchObject([['n', { act: 'probation' }]])
    expect(w.takeActs()).toEqual([])
  })
  test('a node that always failed as often is not', () => {
    const w = watching()
    for (let i = 0; i < 300; i++) w.ended(attempt({ end: 'failed', blamed: i % 3 === 0 }), i * 10_000)
    expect(w.told).toEqual([])
  })
  test('answers that no model makes so quickly', () => {
    const w = watching()
    for (let i = 0; i < 3; i++) w.answered(answer({ ms: 12 }), i * 1000)
    expect(w.kinds()).toContain('impossible_speed n')
    const tokens = watching()
    for (let i = 0; i < 3; i++) tokens.answered(answer({ ms: 1000, completion_tokens: 5000 }), i * 1000)
    expect(tokens.kinds()).toContain('impossible_speed n')
  })
  test('one quick answer is not, and neither are slow ones', () => {
    const w = watching()
    w.answered(answer({ ms: 12 }), 0)
    for (let i = 0; i < 50; i++) w.answered(answer({ task_id: `t${i}`, others_serve: false }), i * 1000)
    expect(w.told).toEqual([])
  })
  test('empty answers', () => {
    const w = watching()
    for (let i = 0; i < 20; i++)
      w.answered(answer({ output: i % 4 === 0 ? ' \n' : 'Yes, a lease.', others_serve: false }), i * 1000)
    expect(w.kinds()).toEqual(['empty_outputs n'])
  })
  test('the same answer to different prompts, and not to the same prompt', () => {
    const w = watching()
    for (let i = 0; i < 30; i++) {
      w.assigned(`t${i}`, 'the same prompt')
      w.answered(answer({ task_id: `t${i}`, others_serve: false }), i * 1000)
    }
    expect(w.told).toEqual([])
    for (let i = 30; i < 60; i++) {
      w.assigned(`t${i}`, `prompt ${i}`)
      w.answered(answer({ task_id: `t${i}`, others_serve: false }), i * 1000)
    }
    expect(w.kinds()).toEqual(['same_output n'])
    expect(w.takeActs()).toMatchObject([['n', { act: 'drain' }]])
  })
  test('a node that accepts and never answers', () => {
    const w = watching()
    for (let i = 0; i < 10; i++) w.ended(attempt(), i * 1000)
    for (let i = 0; i < 7; i++) w.ended(attempt({ end: 'timeout', blamed: false }), MINUTE + i * 1000)
    expect(w.kinds()).toContain('hoarding n')
    expect(w.takeActs()).toMatchObject([['n', { act: 'one_slot' }]])
  })
  test('a node with most results is told of only where others serve', () => {
    const w = watching()
    for (let i = 0; i < 40; i++) w.answered(answer({ others_serve: false, network: '192.0.2.0/24' }), i * 1000)
    expect(w.told).toEqual([])
    w.answered(answer({ network: '192.0.2.0/24' }), 41_000)
    expect(w.kinds()).toEqual(['concentration n', 'concentration 192.0.2.0/24'])
  })
})

describe('submitters, operators and doors', () => {
  test('a fee far above the usual of its model', () => {
    const w = watching()
    for (let i = 0; i < 40; i++) w.paid('llama', [2000 + i], 'ST1')
    w.paid('llama', [150_000], 'ST1')
    expect(w.told).toEqual([])
    w.paid('llama', [300_000], 'ST2')
    expect(w.kinds()).toEqual(['fee_outlier ST2'])
  })
  test('an owner that submits far more than in its usual hour', () => {
    const w = watching()
    for (let h = 0; h < 20; h++) for (let i = 0; i < 5; i++) w.submitted('ST1', 1, h * HOUR + i)
    expect(w.told).toEqual([])
    w.submitted('ST1', 150, 21 * HOUR)
    expect(w.kinds()).toEqual(['owner_surge ST1'])
  })
  test('failed authentications of an address, and of all', () => {
    const w = watching()
    for (let i = 0; i < 11; i++) w.door('auth_failed', '192.0.2.1', i)
    expect(w.kinds()).toEqual(['auth_failures 192.0.2.1'])
    for (let i = 0; i < 31; i++) w.door('key_mismatch', `192.0.2.${i + 2}`, 20 + i)
    expect(w.kinds()).toEqual(['auth_failures 192.0.2.1', 'auth_failures '])
  })
  test('an operator at an address where it never was', () => {
    const w = watching()
    w.operatorActed('adm1', '192.0.2.1', 0)
    w.operatorActed('adm1', '192.0.2.1', 1)
    expect(w.told).toEqual([])
    w.operatorActed('adm1', '198.51.100.1', 2)
    expect(w.kinds()).toEqual(['operator_surge adm1'])
  })
  test('alerts that nothing raises any more are over after ten minutes, and are told again when they come back', () => {
    const w = watching()
    for (let i = 0; i < 11; i++) w.door('server_error', '', i)
    w.at(5 * MINUTE)
    expect(w.list()).toMatchObject([{ kind: 'server_errors', times: 1 }])
    w.at(11 * MINUTE)
    expect(w.list()).toEqual([])
    for (let i = 0; i < 11; i++) w.door('server_error', '', 11 * MINUTE + i)
    expect(w.told).toHaveLength(2)
  })
})
