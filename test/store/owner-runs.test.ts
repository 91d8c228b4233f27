import fc from 'fast-check'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { openDatabase } from '../../src/store/open.js'
import type { TaskFilter, TaskLine } from '../../src/store/pages.js'
import { createStore, type Store } from '../../src/store/store.js'
import type { NewTask } from '../../src/store/new-tasks.js'
import { newTask } from '../support/new-task.js'
import { tempDir } from '../support/temp-dir.js'

const any: TaskFilter = { status: null, model: null, user: null, node: null }

const taskOf = (task_id: string, owner_id: string | null): NewTask => ({
  ...newTask,
  task_id,
  owner_id,
  user_address: owner_id || 'u',
  status: 'failed',
})

/** A store on a file of its own. */
function world() {
  const file = join(tempDir(), 'inference.db')
  const { db, close } = openDatabase(file)
  onTestFinished(close)
  db.pragma('synchronous = OFF')
  let store = createStore(db)
  let made = 0
  const within = (change: (store: Store) => void): void => {
    store.begin()
    change(store)
    store.commit()
  }
  return {
    within,
    insert: (owner: string | null): string => {
      const id = `t-${++made}`
      store.tasks.insert(taskOf(id, owner))
      return id
    },
    /** Without what memory knows. */
    restart: () => void (store = createStore(db)),
    /** Those that the index itself has. */
    begun: () =>
      db
        .prepare<[], string>(
          "SELECT task_id FROM inference_tasks WHERE owner_key > '' AND in_run IS NULL ORDER BY rowid",
        )
        .pluck()
        .all(),
    listed(owner: string): string[] {
      const ids: string[] = []
      for (let before: number | null = null; ;) {
        const { tasks, next } = store.history.ownedPage([owner], any, before, 7)
        ids.push(...(JSON.parse(tasks) as TaskLine[]).map((line) => line.task_id))
        if (next === null) return ids
        before = next
      }
    },
    clear: () => {
      db.exec('DELETE FROM inference_tasks')
      store = createStore(db)
      made = 0
    },
  }
}

test('of many tasks that one owner submits in a row one of sixteen is in the index, and all are in his list', () => {
  const w = world()
  w.within(() => {
    for (let i = 0; i < 100; i++) w.insert('A')
  })
  expect(w.begun()).toEqual(['t-1', 't-17', 't-33', 't-49', 't-65', 't-81', 't-97'])
  expect(w.listed('A')).toEqual(Array.from({ length: 100 }, (_, i) => `t-${100 - i}`))
  // Between those of others each has his own.
  w.within(() => {
    for (let i = 0; i < 64; i++) w.insert(i % 32 === 0 ? 'B' : 'C')
  })
  expect(w.listed('B')).toEqual(['t-133', 't-101'])
  expect(w.begun().slice(7)).toEqual(['t-101', 't-102', 't-118', 't-133', 't-134', 't-150'])
})

test('whatever is submitted, undone, deleted and started anew, an owner lists exactly his tasks', () => {
  const w = world()
  const owner = fc.constantFrom('A', 'A', 'A', 'B', '', null)
  const owners = fc.array(owner, { maxLength: 40, size: 'max' })
  const step = fc.oneof(
    fc.record({ kind: fc.constant('insert' as const), owners }),
    fc.record({ kind: fc.constant('undone' as const), owners }),
    fc.record({ kind: fc.constant('part undone' as const), owners }),
    // From the oldest or from the newest on, some of every few.
    fc.record({
      kind: fc.constant('delete' as const),
      from: fc.nat(30),
      n: fc.nat(30),
      every: fc.integer({ min: 1, max: 3 }),
      newest: fc.boolean(),
    }),
    fc.record({ kind: fc.constant('restart' as const) }),
  )
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 12 }), (steps) => {
      w.clear()
      let there: { id: string; owner: string | null }[] = []
      for (const s of steps) {
        if (s.kind === 'restart') w.restart()
        else if (s.kind === 'insert')
          w.within(() => there.push(...s.owners.map((o) => ({ id: w.insert(o), owner: o }))))
        else if (s.kind === 'part undone')
          w.within((store) => {
            store.savepoint(() => {
              for (const o of s.owners) w.insert(o)
              throw new Error('undone')
            })
          })
        else if (s.kind === 'undone') undone(w, s.owners)
        else
          w.within((store) => {
            const stored = aged(store)
            const rows = (s.newest ? stored.toReversed() : stored).slice(s.from, s.from + s.n)
            const deleted = rows.filter((_, i) => i % s.every === 0)
            // As the retention does it, a few at a time.
            for (let i = 0; i < deleted.length; i += 4) store.tasks.remove(deleted.slice(i, i + 4))
            const gone = new Set(deleted.map(({ task_id }) => task_id))
            there = there.filter(({ id }) => !gone.has(id))
          })
        for (const one of ['A', 'B'])
          expect(w.listed(one)).toEqual(
            there
              .filter((t) => t.owner === one)
              .map((t) => t.id)
              .reverse(),
          )
      }
    }),
    { numRuns: 25 },
  )
})

function undone(w: ReturnType<typeof world>, owners: readonly (string | null)[]): void {
  expect(() =>
    w.within((store) => {
      for (const o of owners) w.insert(o)
      store.rollback()
      throw new Error('undone')
    }),
  ).toThrow('undone')
}

function aged(store: Store) {
  const all = store.tasks.storedAfter(0)
  for (let last = all.at(-1); last !== undefined;) {
    const more = store.tasks.storedAfter(last.seq)
    all.push(...more)
    last = more.at(-1)
  }
  return all
}

test('a run outlives its beginning, whatever of it is deleted with what was read before', () => {
  const w = world()
  const old = (store: Store, n: number): void => {
    const rows = aged(store).slice(0, n)
    for (let i = 0; i < rows.length; i += 4) store.tasks.remove(rows.slice(i, i + 4))
  }
  w.within((store) => {
    for (let i = 0; i < 16; i++) w.insert('A')
    old(store, 8)
  })
  expect(w.listed('A')).toEqual(['t-16', 't-15', 't-14', 't-13', 't-12', 't-11', 't-10', 't-9'])
  // All of it: the numbers of the rows are used again.
  w.within((store) => {
    old(store, 8)
    for (let i = 0; i < 3; i++) w.insert('A')
  })
  expect(w.listed('A')).toEqual(['t-19', 't-18', 't-17'])
})
