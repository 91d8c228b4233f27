import fc from 'fast-check'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { openDatabase } from '../../src/store/open.js'
import { createOwnerPages, OWNED_ROWS_A_PAGE } from '../../src/store/owner-pages.js'
import { ownerKey } from '../../src/store/schema.js'
import type { TaskFilter, TaskLine } from '../../src/store/pages.js'
import { createTaskTexts, plainTexts } from '../../src/store/task-texts.js'
import type { Database } from '../../src/store/sqlite.js'
import { formerFile, inFile, migrations } from '../support/former-file.js'
import { tempDir } from '../support/temp-dir.js'

/** So many migrations the version knew in which a task had the whole address of its owner. */
const WITH_WHOLE_OWNERS = 13

const any: TaskFilter = { status: null, model: null, user: null, node: null }

interface Row {
  owner: string | null
  status?: 'completed' | 'failed'
}

function world() {
  const { db, close } = openDatabase(join(tempDir(), 'inference.db'))
  onTestFinished(close)
  db.pragma('synchronous = OFF')
  return { db, ...createOwnerPages(db, createTaskTexts(plainTexts)) }
}
type World = ReturnType<typeof world>

/** Tasks t-1, t-2, ... in place of those that are there. */
function fill(db: Database, rows: readonly Row[]): void {
  const insert = db.prepare(
    `INSERT INTO inference_tasks (task_id, user_address, user_input, context, fee, nonce, infer_fee, max_infer_time, model_type,
      model_name, model_key, status, created_at, updated_at, queued_ms, queue_rank, owner_key)
      VALUES (?, ?, 'secret prompt', '', 0, 0, 1, 60, 'llama', 'llama-3', 'llama-3', ?, 1, 1, 1, 1, ?)`,
  )
  db.transaction(() => {
    db.exec('DELETE FROM inference_tasks')
    rows.forEach(({ owner, status = 'completed' }, i) =>
      insert.run(`t-${i + 1}`, owner || 'u', status, owner && ownerKey(owner)),
    )
  })()
}

/** Every page, from the newest on. */
function pagesOf({ ownedPage }: World, owners: string[], filter: TaskFilter, limit: number): string[][] {
  const pages: string[][] = []
  for (let before: number | null = null; ;) {
    const { tasks, next } = ownedPage(owners, filter, before, limit)
    pages.push((JSON.parse(tasks) as TaskLine[]).map((line) => line.task_id))
    if (next === null) return pages
    if (before !== null) expect(next).toBeLessThan(before)
    before = next
  }
}

test('the pages together are the tasks of these owners, each once, the newest first', () => {
  const w = world()
  const row = fc.record({
    // The index has the ends of owners only, and two of these end alike.
    owner: fc.constantFrom('A', 'B', 'A and the same end', 'B and the same end', 'wallet-of-😀-ann', '', null),
    status: fc.constantFrom('completed' as const, 'failed' as const),
  })
  const owners = fc.uniqueArray(
    fc.constantFrom('A', 'B', 'C', 'A and the same end', 'B and the same end', 'wallet-of-😀-ann'),
    { minLength: 1 },
  )
  fc.assert(
    fc.property(
      fc.array(row, { maxLength: 40 }),
      owners,
      fc.constantFrom(null, 'failed' as const),
      fc.integer({ min: 1, max: 9 }),
      (rows, wanted, status, limit) => {
        fill(w.db, rows)
        const expected = rows
          .flatMap((r, i) =>
            r.owner !== null && r.owner !== '' && wanted.includes(r.owner) && (status === null || r.status === status)
              ? [`t-${i + 1}`]
              : [],
          )
          .reverse()
        const pages = pagesOf(w, wanted, { ...any, status }, limit)
        expect(pages.flat()).toEqual(expected)
        for (const page of pages) expect(page.length).toBeLessThanOrEqual(limit)
        // A full page that ends the list is the last.
        if (expected.length > 0) expect(pages.at(-1)).not.toEqual([])
      },
    ),
    { numRuns: 60 },
  )
})

test('the key of an owner is cut as SQLite has cut it in files that were there before', () => {
  const { db } = world()
  const cut = db.prepare<[string], { key: string }>('SELECT substr(?, -12) AS key')
  fc.assert(
    fc.property(fc.string({ unit: 'binary', minLength: 1, maxLength: 30 }), (raw) => {
      const owner = raw.toWellFormed().replaceAll('\0', '0')
      expect(ownerKey(owner)).toBe(cut.get(owner)?.key)
    }),
  )
})

test('a rare match is found over many short pages, also where one owner has far more tasks than another', () => {
  const w = world()
  const many = 3 * OWNED_ROWS_A_PAGE
  fill(w.db, [
    { owner: 'A', status: 'failed' },
    { owner: 'B', status: 'failed' },
    ...Array.from({ length: many }, (): Row => ({ owner: 'A' })),
  ])
  const pages = pagesOf(w, ['A', 'B'], { ...any, status: 'failed' }, 10)
  expect(pages.flat()).toEqual(['t-2', 't-1'])
  expect(pages.length).toBeLessThan(10)
  expect(pagesOf(w, ['B'], any, 10)).toEqual([['t-2']])
})

test('a line is that of the list of all: no text is in it, and it is found by the index', () => {
  const w = world()
  fill(w.db, [{ owner: 'A' }])
  const { tasks } = w.ownedPage(['A'], any, null, 10)
  expect(JSON.parse(tasks)).toEqual([
    {
      task_id: 't-1',
      status: 'completed',
      user_address: 'A',
      model_name: 'llama-3',
      model_type: 'llama',
      infer_fee: 1,
      max_infer_time: 60,
      attempt: 0,
      inference_node_id: null,
      created_at: 1,
      updated_at: 1,
      completed_at: null,
      error: null,
    },
  ])
  expect(w.ownedPage([], any, null, 10)).toEqual({ tasks: '[]', next: null })
})

test('a file of the version before keeps its owners, whose tasks are found, and goes back to it', () => {
  const insert = (id: string, user: string, owner: string | null) =>
    `INSERT INTO inference_tasks (task_id, user_address, user_input, context, fee, nonce, infer_fee, max_infer_time, model_type,
      model_name, model_key, status, created_at, updated_at, queued_ms, queue_rank, owner_id)
      VALUES ('${id}', '${user}', '', '', 0, 0, 1, 60, 'llama', 'llama', 'llama', 'completed', 1, 1, 1, 1, ${owner === null ? 'NULL' : `'${owner}'`});`
  const [first, second] = ['ST1PQHQKV0RJXZFY1DGX8MNSNYVE3VGZJSRTPGZGM', 'ST2CY5V39NHDPWSXMW9QDT3HC3GD6Q6XX4CFRK9AG']
  const file = formerFile(
    WITH_WHOLE_OWNERS,
    [insert('a', first, first), insert('b', second, ''), insert('c', second, null), insert('d', second, second)].join(
      '\n',
    ),
  )
  const owners = (db: Database) => db.prepare('SELECT task_id, owner_id FROM inference_tasks ORDER BY task_id').all()
  const before = inFile(file, owners)
  const { db, close } = openDatabase(file)
  expect(owners(db)).toEqual(before)
  const { ownedPage } = createOwnerPages(db, createTaskTexts(plainTexts))
  expect((JSON.parse(ownedPage([second], any, null, 10).tasks) as TaskLine[]).map((line) => line.task_id)).toEqual([
    'd',
  ])
  close()
  for (const name of ['0014_owner_runs', '0013_owner_key'])
    inFile(file, (former) => former.exec(readFileSync(join(migrations, 'back', `${name}.sql`), 'utf8')))
  expect(inFile(file, owners)).toEqual(before)
  openDatabase(file).close()
  expect(inFile(file, owners)).toEqual(before)
})
