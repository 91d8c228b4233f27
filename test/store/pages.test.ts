import fc from 'fast-check'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { openDatabase } from '../../src/store/open.js'
import { createPages, PAGE_TIME_MS, ROWS_A_PAGE, type TaskFilter, type TaskLine } from '../../src/store/pages.js'
import { createTaskTexts, plainTexts } from '../../src/store/task-texts.js'
import { taskStatuses, type TaskStatus } from '../../src/rules/lifecycle.js'
import { tempDir } from '../support/temp-dir.js'

interface Row {
  status?: TaskStatus
  user?: string
  model?: string
  /** Who was given it, in order; of one that runs, the last has it. */
  nodes?: readonly string[]
  error?: string | null
  fee?: number
}

/** A file of its own with pages over it, filled without a service, as a service would. */
function createWorld() {
  const opened = openDatabase(join(tempDir(), 'inference.db'))
  onTestFinished(() => opened.close())
  const { db } = opened
  db.pragma('synchronous = OFF')
  const insert =
    db.prepare(`INSERT INTO inference_tasks (task_id, user_address, user_input, context, fee, nonce, infer_fee, max_infer_time, model_type, model_name, model_key, status, attempt, created_at, updated_at, queued_ms, queue_rank, inference_node_id, error)
    VALUES (@id, @user, 'x', '', 0, 0, @fee, 60, @family, @model, @model, @status, @attempt, 1, 1, @queued, @fee, @node, @error)`)
  const attempt = db.prepare(
    `INSERT INTO ended_attempts (task_id, attempt, node_id, polled, handouts, assigned_ms, lease_ms, ended_ms, end) VALUES (?, ?, ?, 0, 0, 1, 1, ?, ?)`,
  )
  const begin = db.prepare(
    'UPDATE inference_tasks SET open_lease_ms = 1, open_polled = 0, open_handouts = 0, open_assigned_ms = 1 WHERE task_id = ?',
  )
  let n = 0
  return {
    db,
    add: (rows: readonly Row[]) =>
      db.transaction(() => {
        for (const { status = 'completed', user = 'u', model = 'llama', nodes = [], error = null, fee = 1 } of rows) {
          const id = `t-${++n}`
          const attached = status === 'in_progress' || status === 'completed'
          insert.run({
            id,
            user,
            fee,
            model,
            family: model.slice(0, 5),
            status,
            attempt: nodes.length,
            queued: 1e6 - (n % 7),
            node: attached ? (nodes.at(-1) ?? null) : null,
            error,
          })
          nodes.forEach((node, i) => {
            const isLast = i === nodes.length - 1
            if (status === 'in_progress' && isLast) begin.run(id)
            else attempt.run(id, i + 1, node, 2, status === 'completed' && isLast ? 'completed' : 'failed')
          })
        }
      })(),
    ...createPages(db, createTaskTexts(plainTexts)),
  }
}
type World = ReturnType<typeof createWorld>

const any: TaskFilter = { status: null, model: null, user: null, node: null }
const still = () => 0
const idsOf = (tasks: string): string[] => (JSON.parse(tasks) as TaskLine[]).map((t) => t.task_id)

/** Every page of a list, from the newest on. */
function pagesOf({ page }: World, filter: TaskFilter, limit: number, now: () => number): string[][] {
  const pages: string[][] = []
  for (let before: number | null = null; ;) {
    const { tasks, next } = page(filter, before, limit, now)
    pages.push(idsOf(tasks))
    if (next === null) return pages
    if (before !== null) expect(next).toBeLessThan(before)
    before = next
  }
}

const node = fc.constantFrom('n1', 'n2', 'n3')
const row: fc.Arbitrary<Row> = fc
  .record({
    status: fc.constantFrom(...taskStatuses),
    user: fc.constantFrom('u1', 'u2', 'u3'),
    model: fc.constantFrom('llama', 'llama-2', 'gemma-7'),
    nodes: fc.array(node, { maxLength: 3 }),
  })
  .map((r) => (r.status === 'in_progress' && r.nodes.length === 0 ? { ...r, nodes: ['n1'] } : r))
const filter: fc.Arbitrary<TaskFilter> = fc.record({
  status: fc.option(fc.constantFrom(...taskStatuses)),
  model: fc.option(fc.constantFrom('llama', 'gemma', 'llama-2', 'nothing')),
  user: fc.option(fc.constantFrom('u1', 'u2', 'nobody')),
  node: fc.option(fc.constantFrom('n1', 'n2', 'nobody')),
})
/** What is there, how often over, and what was deleted of it: from a place on, so many. */
const file = fc.record({
  rows: fc.array(row, { minLength: 1, maxLength: 40 }),
  times: fc.nat(30),
  gaps: fc.array(fc.tuple(fc.nat(1200), fc.nat(400)), { maxLength: 4 }),
  far: fc.boolean(),
})

test('the pages of a list hold every match exactly once, newest first, whatever was deleted, asked for, and however long a look takes', () => {
  const world = createWorld()
  const expected = world.db.prepare<TaskFilter, { task_id: string }>(`SELECT task_id FROM inference_tasks AS t
    WHERE (@status IS NULL OR status = @status) AND (@model IS NULL OR model_key = @model OR model_type = @model) AND (@user IS NULL OR user_address = @user)
      AND (@node IS NULL OR EXISTS (SELECT 1 FROM attempts AS a WHERE a.task_id = t.task_id AND a.node_id = @node)) ORDER BY rowid DESC`)
  fc.assert(
    fc.property(
      file,
      fc.array(
        fc.tuple(
          filter,
          fc.constantFrom(1, 2, 7, 50, 1000),
          fc.array(fc.constantFrom(0, 0.1, 1, 5), { minLength: 1, maxLength: 5 }),
        ),
        { minLength: 1, maxLength: 4 },
      ),
      ({ rows, times, gaps, far }, lists) => {
        world.db.exec('DELETE FROM inference_tasks; DELETE FROM ended_attempts')
        for (let i = 0; i <= times; i++) world.add(rows)
        for (const [from, n] of gaps)
          world.db.prepare('DELETE FROM inference_tasks WHERE rowid > ? AND rowid <= ?').run(from, from + n)
        world.db.exec('DELETE FROM ended_attempts WHERE task_id NOT IN (SELECT task_id FROM inference_tasks)')
        if (far)
          world.db.exec(
            'UPDATE inference_tasks SET rowid = rowid + 1000000000 WHERE rowid > (SELECT max(rowid) / 2 FROM inference_tasks)',
          )
        for (const [which, limit, steps] of lists) {
          let t = 0
          let i = 0
          const pages = pagesOf(world, which, limit, () => (t += steps[i++ % steps.length] ?? 0))
          for (const page of pages) expect(page.length).toBeLessThanOrEqual(limit)
          expect(pages.flat()).toEqual(expected.all(which).map((r) => r.task_id))
        }
      },
    ),
    { numRuns: 60 },
  )
})

test('a page ends when its time is used up, and the next goes on behind what was looked at', () => {
  const world = createWorld()
  world.add(Array.from({ length: 5000 }, (_, i) => ({ user: i === 0 ? 'rare' : 'u' })))
  let t = 0
  const slow = () => (t += PAGE_TIME_MS / 4)
  const first = world.page({ ...any, user: 'rare' }, null, 50, slow)
  expect(first.tasks).toBe('[]')
  // Slow steps stay small: a few of the smallest.
  expect(first.next).toBeGreaterThan(4800)
  expect(pagesOf(world, { ...any, user: 'rare' }, 50, slow).flat()).toEqual(['t-1'])
})

test('a page looks at ten thousand rows at most, however fast that is', () => {
  const world = createWorld()
  world.add(Array.from({ length: ROWS_A_PAGE + 500 }, () => ({})))
  const { tasks, next } = world.page({ ...any, user: 'nobody' }, null, 50, still)
  expect(tasks).toBe('[]')
  expect(next).toBe(501)
  expect(world.page({ ...any, user: 'nobody' }, ROWS_A_PAGE + 1, 50, still)).toEqual({ tasks: '[]', next: null })
})

test('what failed, what waits and what runs is found at once among very many', () => {
  const world = createWorld()
  const rare: Row[] = [
    { status: 'failed' },
    { status: 'timeout' },
    { status: 'pending' },
    { status: 'in_progress', nodes: ['n1'] },
  ]
  world.add(rare)
  world.add(Array.from({ length: 2 * ROWS_A_PAGE }, () => ({})))
  world.add(rare)
  rare.forEach(({ status = 'failed' }, i) => {
    const ids = [`t-${2 * ROWS_A_PAGE + 5 + i}`, `t-${1 + i}`]
    const whole = world.page({ ...any, status }, null, 50, still)
    expect([idsOf(whole.tasks), whole.next]).toEqual([ids, null])
    expect(pagesOf(world, { ...any, status }, 1, still)).toEqual(ids.map((id) => [id]))
  })
})

test('more than a few that wait are found too, a page at a time', () => {
  const world = createWorld()
  world.add(Array.from({ length: 1800 }, (_, i) => ({ status: i % 3 === 0 ? 'completed' : 'pending' })))
  expect(pagesOf(world, { ...any, status: 'pending' }, 300, still).map((p) => p.length)).toEqual([
    300, 300, 300, 300, 0,
  ])
})

test('a line is the same as the row, with any text and any number in it', () => {
  const world = createWorld()
  const error = '"quoted" \\ \n\t\u0001\u0000 ✓ \u{1F600} \u2028 </script>'
  world.add([{ error, user: error, fee: Number.MAX_SAFE_INTEGER, status: 'failed', nodes: ['n'] }])
  expect(JSON.parse(world.page(any, null, 1, still).tasks)).toEqual([
    {
      task_id: 't-1',
      status: 'failed',
      user_address: error,
      model_name: 'llama',
      model_type: 'llama',
      infer_fee: Number.MAX_SAFE_INTEGER,
      max_infer_time: 60,
      attempt: 1,
      inference_node_id: null,
      created_at: 1,
      updated_at: 1,
      completed_at: null,
      error,
    },
  ])
})
