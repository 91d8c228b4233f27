import fc from 'fast-check'
import { stripVTControlCharacters } from 'node:util'
import { describe, expect, test } from 'vitest'
import type { Model } from '../../src/commands/top/answers.js'
import { frame } from '../../src/commands/top/frame.js'
import { press, type Page } from '../../src/commands/top/keys.js'
import { line, paint, sparkline, spread } from '../../src/commands/top/line.js'
import { begin, VIEWS, withEvent, withOverview, type TopState } from '../../src/commands/top/state.js'
import { shortTime } from '../../src/commands/top/views.js'
import type { NodeEntry } from '../../src/commands/nodes/node-call.js'
import { textWidth } from '../../src/lib/text-width.js'
import type { FeedEvent } from '../../src/wire/watch-events.js'

const NOW = Date.UTC(2026, 0, 2, 3, 4, 5)
const URL = 'http://127.0.0.1:8080'

const model = (name: string, more: Partial<Model> = {}): Model => ({
  model: name,
  nodes: 1,
  slots: 4,
  free_slots: 3,
  waiting: 0,
  oldest_waiting_seconds: null,
  running: 1,
  rate_1m: 0.25,
  wait_p50: 0.1,
  wait_p95: 2,
  first_word_p50: null,
  first_word_p95: null,
  run_p50: 1,
  run_p95: 12.4,
  tokens_per_second: 0,
  eta_seconds: null,
  failed_1h: 0,
  ...more,
})
const node = (id: string, more: Partial<NodeEntry> = {}): NodeEntry => ({
  node_id: id,
  status: 'online',
  status_reason: null,
  transport: 'websocket',
  supported_models: ['llama'],
  in_progress_tasks: 1,
  max_concurrent_tasks: 4,
  drained: false,
  failures_in_row: 0,
  cooled_until: null,
  average_inference_time: 1,
  success_rate: 1,
  last_heartbeat: NOW / 1000 - 3,
  ...more,
})
const task = (id: string, more: object = {}): FeedEvent => ({
  event: 'task',
  data: { id, model: 'llama', status: 'pending', attempt: 0, node: null, end: null, fault: null, ms: 10, ...more },
})
const overview = {
  totals: {
    pending_tasks: 12,
    processing_tasks: 4,
    online_nodes: 2,
    busy_nodes: 1,
    offline_nodes: 1,
    maintenance_nodes: 0,
    uptime_seconds: 7260,
  },
  oldest_waiting_seconds: 75,
  failed_1h: 3,
  slots: 8,
  free_slots: 5,
  series: {
    step_seconds: 5,
    submitted: [0, 10, 5, 0],
    completed: [0, 5, 5, 0],
    failed: [0, 0, 1, 0],
    timeout: [0, 0, 1, 0],
    wait_p95: [null, 1, 2, null],
    first_word_p95: [null, null, null, null],
    run_p95: [null, 1, 1, null],
  },
  failures: [{ end: 'lost', fault: 'node', count: 2 }],
}
const standing = (more: Partial<TopState> = {}): TopState => ({
  ...withOverview({ ...begin(), link: { is: 'open' } }, overview, NOW),
  models: [model('llama'), model('mistral', { nodes: 0, waiting: 2, oldest_waiting_seconds: 75 })],
  nodes: [node('a'), node('b', { status: 'maintenance', status_reason: 'no model server' })],
  ...more,
})
const drawn = (state: TopState, columns = 80, rows = 24): string[] =>
  frame(state, { columns, rows }, URL, NOW).lines.map((one) => paint(one, columns, false))

const page: Page = { rows: 10, most: 25 }
const key = (name: string, more: object = {}) => ({ name, sequence: name.length === 1 ? name : '', ...more })
const pressed = (state: TopState, ...keys: ReturnType<typeof key>[]): TopState =>
  keys.reduce((s, k) => {
    const next = press(s, k, page)
    if (typeof next === 'string') throw new Error(`${k.name} is the order ${next}`)
    return next
  }, state)

test('the four numbers come first, with the words that say what they are, then nodes and slots', () => {
  const lines = drawn(standing())
  expect(lines).toHaveLength(24)
  expect(lines[0]).toMatch(/^stacks-signer top {2}http:\/\/127\.0\.0\.1:8080 +up 2 h 1 min {2}03:04:05Z$/)
  expect(lines[1]).toBe('waiting 12   running 4   oldest waiting 1 min 15 s   failed in the last hour 3')
  expect(lines[2]).toBe('nodes 2 online, 1 busy, 1 offline, 0 maintenance   slots 5 of 8 free')
  expect(lines[3]).toBe('')
  expect(lines[4]).toContain('[Overview]')
  // The newest whole step, and the largest.
  expect(lines).toContainEqual(expect.stringMatching(/^submitted +1\.0\/s +2\.0\/s {2}▁█▅$/))
  expect(lines).toContainEqual(expect.stringMatching(/^failed +0\.4\/s +0\.4\/s {2}▁▁█$/))
  expect(lines).toContainEqual(expect.stringMatching(/^wait 95 % +2\.0 s +2\.0 s {3}▅█$/))
  expect(lines).toContainEqual('failed attempts   2 lost (node)')
})

test('a model that no node serves says so, and what has waited longest is above', () => {
  const rows = drawn(standing({ view: 'models' })).slice(6)
  expect(rows[0]).toMatch(/^mistral +2 +1 min 15 s +1 +no node/)
  expect(rows[1]).toMatch(/^llama +0 +- +1 +3 of 4/)
})

test('of too many nodes it is said how one is found, and with a filter what was looked at', () => {
  const many = (more: object) => drawn(standing({ view: 'nodes', hasMoreNodes: true, ...more }), 120).join('\n')
  expect(many({})).toContain('there are more than these 2 nodes; / finds one by its id')
  expect(many({ filter: 'a' })).toContain('these are found by their ids')
  expect(many({ filter: 'a' })).not.toContain('there are more')
})

test('nodes that could work and do not are above, with the reason', () => {
  const rows = drawn(standing({ view: 'nodes' }), 120).slice(6)
  expect(rows[0]).toMatch(/^b +maintenance +#\.\.\. 1 of 4 .*no model server$/)
  expect(rows[1]).toMatch(/^a +online /)
  const cooled = node('c', { cooled_until: NOW / 1000 + 34.5 })
  expect(drawn(standing({ view: 'nodes', nodes: [node('a'), cooled] }))[6]).toMatch(/^c +online, cooldown 35 s/)
})

test('a lost connection is said with its reason, and how old the figures are', () => {
  const link = { is: 'lost', why: `${URL} cannot be reached (ECONNREFUSED)`, again: NOW + 1500 } as const
  expect(drawn(standing({ link, figuresAt: NOW - 7000 }))[3]).toBe(
    'NOT CONNECTED: cannot be reached (ECONNREFUSED); again in 2 s; these figures ar…',
  )
  expect(drawn(standing({ refused: 'may not be watched' }))[3]).toBe('NOT ANSWERED: may not be watched')
  expect(drawn(standing({ figuresAt: NOW - 9000 }))[3]).toBe('the service says nothing; these figures are 9 s old')
})

test('no line is wider than the terminal, nor are there more, and nothing of a stranger moves the cursor', () => {
  const text = fc.oneof(fc.string({ unit: 'grapheme', maxLength: 40 }), fc.constant('\u001b[2J\u202e老虎\n👍🏽'))
  fc.assert(
    fc.property(
      fc.record({
        names: fc.array(text, { maxLength: 30 }),
        view: fc.constantFrom(...VIEWS),
        filter: fc.oneof(fc.constant(''), text),
        isTyping: fc.boolean(),
        columns: fc.integer({ min: 1, max: 220 }),
        rows: fc.integer({ min: 1, max: 60 }),
        isColoured: fc.boolean(),
        down: fc.nat(40),
      }),
      ({ names, view, filter, isTyping, columns, rows, isColoured, down }) => {
        const scroll = { overview: down, models: down, nodes: down, feed: down }
        const models = names.map((name) => model(name))
        const nodes = names.map((name) => node(name, { status_reason: name, supported_models: names }))
        const quiet = standing({ view, filter, isTyping, models, nodes, scroll })
        const state = names.reduce((s, name) => withEvent(s, task(name, { model: name, node: name }), NOW), quiet)
        const { lines } = frame(state, { columns, rows }, `http://${filter}`, NOW)
        expect(lines).toHaveLength(rows)
        for (const one of lines) {
          const painted = paint(one, columns, isColoured)
          const seen = stripVTControlCharacters(painted)
          expect(textWidth(seen)).toBeLessThanOrEqual(columns)
          expect(seen).not.toMatch(/[\p{Cc}\u202e]/u)
          if (!isColoured) expect(painted).toBe(seen)
        }
      },
    ),
    { numRuns: 60 },
  )
})

describe('keys', () => {
  test('Tab goes round the views, Shift-Tab back, and numbers go to one', () => {
    const seen = [...VIEWS, 'overview'].map((_, i) => pressed(begin(), ...Array(i).fill(key('tab'))).view)
    expect(seen).toEqual(['overview', 'models', 'nodes', 'feed', 'overview'])
    expect(pressed(begin(), key('tab', { shift: true })).view).toBe('feed')
    expect(pressed(begin(), key('3')).view).toBe('nodes')
  })

  test('arrows move, not beyond the ends', () => {
    const at = (...keys: string[]): number => pressed(begin(), ...keys.map((k) => key(k))).scroll.overview
    expect(at('down', 'down', 'up')).toBe(1)
    expect(at('up')).toBe(0)
    expect(at('pagedown')).toBe(10)
    expect(at('pagedown', 'pagedown', 'pagedown')).toBe(25)
    expect(at('end', 'up')).toBe(24)
    expect(at('end', 'home')).toBe(0)
  })

  test('/ begins a filter, in which every letter is one; Enter keeps it, and Esc leaves it', () => {
    const typing = pressed(
      begin(),
      key('/'),
      key('q'),
      key('t', { name: 'tab' }),
      key('模', { name: undefined, sequence: '模' }),
    )
    expect(typing).toMatchObject({ isTyping: true, filter: 'qt模', view: 'overview' })
    expect(pressed(typing, key('backspace')).filter).toBe('qt')
    expect(pressed(typing, key('return'))).toMatchObject({ isTyping: false, filter: 'qt模' })
    expect(pressed(typing, key('escape'))).toMatchObject({ isTyping: false, filter: '' })
    expect(pressed(typing, key('return'), key('escape')).filter).toBe('')
    expect(pressed(typing, key('', { sequence: '\u001b[200~' })).filter).toBe('qt模')
    const long = pressed(pressed(begin(), key('/')), ...Array<ReturnType<typeof key>>(200).fill(key('x')))
    expect(long.filter).toHaveLength(128)
  })

  test('q ends it, Ctrl-C also while a filter is written, and Ctrl-Z stops it', () => {
    const typing = pressed(begin(), key('/'))
    expect(press(begin(), key('q'), page)).toBe('quit')
    expect(press(typing, key('c', { ctrl: true }), page)).toBe('quit')
    expect(press(typing, key('z', { ctrl: true }), page)).toBe('suspend')
  })
})

test('a filter shows only the rows that have it, and says how to see all', () => {
  const lines = drawn(standing({ view: 'models', filter: 'MIS' }))
  expect(lines[4]).toContain('only with: MIS (Esc: all)')
  expect(lines.slice(6).filter((one) => one !== '')).toEqual([
    expect.stringMatching(/^mistral /),
    expect.stringContaining('q quit'),
  ])
  expect(drawn(standing({ view: 'nodes', filter: 'zzz' }))).toContain('nothing has "zzz" in it; Esc shows everything')
})

test('the feed has the newest above; who has moved down reads on where he was', () => {
  let state = standing({ view: 'feed' })
  for (let i = 0; i < 30; i++) state = withEvent(state, task(`task-${i}`), NOW)
  expect(drawn(state)[6]).toContain('task-29')
  state = { ...state, scroll: { ...state.scroll, feed: 5 } }
  expect(drawn(state)[6]).toContain('task-24')
  const later = withEvent(state, task('task-30'), NOW)
  expect(drawn(later)[6]).toContain('task-24')
  expect(drawn(later).at(-1)).toMatch(/7-23 of 31$/)
  // What is filtered away does not move him.
  expect(withEvent({ ...later, filter: 'task-2' }, task('other'), NOW).scroll.feed).toBe(later.scroll.feed)
  for (let i = 0; i < 2000; i++) state = withEvent(state, task(`more-${i}`), NOW)
  expect(state.feed).toHaveLength(1000)
})

test('an event changes the node, and a tick the figures and the models that are known', () => {
  const offline: FeedEvent = { event: 'node', data: { id: 'a', status: 'offline', reason: null } }
  expect(withEvent(standing(), offline, NOW).nodes?.map((n) => n.status)).toEqual(['offline', 'maintenance'])
  const forgotten: FeedEvent = { event: 'node', data: { id: 'a', status: null, reason: null } }
  expect(withEvent(standing(), forgotten, NOW).nodes?.map((n) => n.node_id)).toEqual(['b'])
  const { figures } = standing()
  if (figures === null) throw new Error('there are no figures')
  const { model: name, nodes, slots, free_slots, oldest_waiting_seconds, running, rate_1m } = model('llama')
  const row = { nodes, slots, free_slots, oldest_waiting_seconds, running, rate_1m }
  const tick: FeedEvent = {
    event: 'tick',
    data: {
      at_ms: NOW,
      totals: { ...figures, waiting: 99 },
      second: { submitted: 0, started: 0, completed: 0, failed: 0, timeout: 0, cancelled: 0, requeued: 0 },
      models: [
        { model: name, waiting: 98, ...row },
        { model: 'unheard-of', waiting: 1, ...row },
      ],
    },
  }
  const ticked = withEvent(standing(), tick, NOW + 1000)
  expect(ticked).toMatchObject({ figures: { waiting: 99 }, figuresAt: NOW + 1000, feed: [] })
  expect(ticked.models?.map((m) => [m.model, m.waiting, m.run_p95])).toEqual([
    ['llama', 98, 12.4],
    ['mistral', 2, 12.4],
  ])
})

test.each([
  [[0, 1, 2, 4], 4, '▁▃▅█'],
  [[0, 0], 2, '▁▁'],
  [[null, 3, null], 3, ' █ '],
  [[1000, 1], 2, '█▂'],
  // Two share a bar: the larger counts, and the oldest that is left over is not there.
  [[9, 0, 1, 2, 4], 3, '▃█'],
  [[], 5, ''],
])('%j in %i columns are "%s"', (values, columns, bars) => {
  expect(sparkline(values, columns)).toBe(bars)
})

test.each([
  [null, null],
  [0, '0 s'],
  [0.345, '0.34 s'],
  [2.25, '2.3 s'],
  [59.4, '59 s'],
  [3725, '1 h 2 min'],
])('%d seconds are %s in short', (seconds, text) => {
  expect(shortTime(seconds)).toBe(text)
})

test('a line is cut between characters, in colours or without, and the right end gives way', () => {
  expect(paint([{ text: 'ab', style: 'bad' }, { text: '模型' }], 5, false)).toBe('ab模…')
  expect(paint([{ text: 'ab', style: 'bad' }, { text: 'c' }], 5, true)).toBe('\x1b[1;31mab\x1b[0mc')
  expect(paint(spread(line('left'), 'right', 12), 12, false)).toBe('left   right')
  expect(paint(spread(line('left'), 'right', 10), 10, false)).toBe('left')
})
