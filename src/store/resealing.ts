import { and, count, eq, gt, lte, max, ne, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import { SealedTextError } from '../lib/sealed-text.js'
import { endedAttempts as attempts } from './attempt-schema.js'
import { callbacks } from './callback-schema.js'
import { dataKeys, inferenceTasks as tasks, reopenings, type TaskRow } from './schema.js'
import { bound, literal, rowOf } from './statement.js'
import type { TaskTexts, TextColumn } from './task-texts.js'
import type { Database } from './sqlite.js'

/** A text that cannot be sealed anew, because it cannot be opened. It stays as it is. */
export interface Unreadable {
  task_id: string
  error: string
}

const { task_id, user_input, context, output, error, params, result_notes, texts_digest } = tasks
const textColumns = [
  'user_input',
  'context',
  'output',
  'error',
  'params',
  'result_notes',
] as const satisfies readonly TextColumn[]
type Texts = Pick<TaskRow, TextColumn | 'task_id' | 'texts_digest'> & { seq: number }

export type Resealing = ReturnType<typeof createResealing>

/**
 * Which data keys the texts of a file may be sealed under, and the way of all of them under the one that seals: task by task, in
 * the order of their making, up to the last there was when that key began. How far it is, is in the file.
 */
export function createResealing(db: Database, texts: TaskTexts) {
  const orm = drizzle(db)
  const { placeholder } = sql
  const seq = sql<number>`rowid`
  const isSealing = eq(dataKeys.sealing, 1)
  const keys = orm.select({ kid: dataKeys.kid }).from(dataKeys).orderBy(dataKeys.kid).prepare()
  const newest = orm.select({ kid: dataKeys.kid }).from(dataKeys).where(isSealing).prepare()
  const lastTask = orm
    .select({ seq: max(seq) })
    .from(tasks)
    .prepare()
  const walk = orm.select({ at: dataKeys.walked_seq, end: dataKeys.last_seq }).from(dataKeys).where(isSealing).prepare()
  const others = orm.select({ n: count() }).from(dataKeys).where(eq(dataKeys.sealing, 0)).prepare()
  const retire = orm.update(dataKeys).set({ sealing: 0 }).prepare()
  const seals = orm
    .insert(dataKeys)
    .values(rowOf(dataKeys))
    .onConflictDoUpdate({ target: dataKeys.kid, set: { sealing: 1, walked_seq: 0, last_seq: bound('last_seq') } })
    .prepare()
  const goOn = orm
    .update(dataKeys)
    .set({ walked_seq: bound('at') })
    .where(isSealing)
    .prepare()
  const forget = orm
    .delete(dataKeys)
    .where(ne(dataKeys.kid, placeholder('kid')))
    .prepare()
  const next = literal(
    orm
      .select({ seq, task_id, user_input, context, output, error, params, result_notes, texts_digest })
      .from(tasks)
      .where(and(gt(seq, placeholder('after')), lte(seq, placeholder('end'))))
      .orderBy(seq)
      .limit(1),
  ).prepare()
  const save = orm
    .update(tasks)
    .set({
      user_input: bound('user_input'),
      context: bound('context'),
      output: bound('output'),
      error: bound('error'),
      params: bound('params'),
      result_notes: bound('result_notes'),
      texts_digest: bound('texts_digest'),
    })
    .where(eq(seq, placeholder('seq')))
    .prepare()
  const words = orm
    .select({ attempt: attempts.attempt, error: attempts.error })
    .from(attempts)
    .where(eq(attempts.task_id, placeholder('task_id')))
    .prepare()
  const saveWords = orm
    .update(attempts)
    .set({ error: bound('error') })
    .where(and(eq(attempts.task_id, placeholder('task_id')), eq(attempts.attempt, placeholder('attempt'))))
    .prepare()
  const ends = orm
    .select({ seq, error: reopenings.error })
    .from(reopenings)
    .where(eq(reopenings.task_id, placeholder('task_id')))
    .prepare()
  const saveEnd = orm
    .update(reopenings)
    .set({ error: bound('error') })
    .where(eq(seq, placeholder('seq')))
    .prepare()

  const target = orm
    .select({ url: callbacks.url })
    .from(callbacks)
    .where(eq(callbacks.task_id, placeholder('task_id')))
    .prepare()
  const saveTarget = orm
    .update(callbacks)
    .set({ url: bound('url') })
    .where(eq(callbacks.task_id, placeholder('task_id')))
    .prepare()

  /** @returns what could not be opened of a task; the rest of it is sealed under the key of now */
  const resealOne = (row: Texts): Unreadable[] => {
    const unreadable: Unreadable[] = []
    const anew = (stored: string, seal: () => string): string => {
      if (!texts.isOutdated(stored)) return stored
      try {
        return seal()
      } catch (problem) {
        if (!(problem instanceof SealedTextError)) throw problem
        unreadable.push({ task_id: row.task_id, error: problem.message })
        return stored
      }
    }
    const { task_id: id } = row
    const changed = { ...row }
    for (const column of textColumns) {
      const stored = row[column]
      if (stored !== null) changed[column] = anew(stored, () => texts.seal(column, id, texts.open(column, id, stored)))
    }
    if (changed.user_input !== row.user_input && unreadable.length === 0)
      changed.texts_digest = texts.digest(id, texts.sent(changed))
    if (textColumns.some((column) => changed[column] !== row[column])) save.run({ ...changed })
    for (const { attempt, error: stored } of words.all({ task_id: id })) {
      if (stored === null || !texts.isOutdated(stored)) continue
      const words = anew(stored, () => texts.sealOfAttempt(id, attempt, texts.openOfAttempt(id, attempt, stored)))
      saveWords.run({ task_id: id, attempt, error: words })
    }
    for (const { seq: place, error: stored } of ends.all({ task_id: id })) {
      if (stored === null || !texts.isOutdated(stored)) continue
      saveEnd.run({ seq: place, error: anew(stored, () => texts.seal('error', id, texts.open('error', id, stored))) })
    }
    const stored = target.get({ task_id: id })?.url
    if (stored !== undefined && texts.isOutdated(stored)) {
      const column = 'callback_url'
      saveTarget.run({ task_id: id, url: anew(stored, () => texts.seal(column, id, texts.open(column, id, stored))) })
    }
    return unreadable
  }

  /** Whether texts may still be stored otherwise than the key of now would store them. */
  const isLeft = (): boolean => {
    if (texts.kid === null) return false
    const { at = 0, end = 0 } = walk.get() ?? {}
    return at < end || (others.get()?.n ?? 0) > 0
  }

  return {
    /** The ids of the data keys that are needed to read all texts of the file. */
    keysNeeded: (): string[] => keys.all().map(({ kid }) => kid),

    /** At start, once it is sure that all keys are there: from here on the key of now seals. Nothing without one. */
    begin(): void {
      const { kid } = texts
      if (kid === null) return
      if (newest.get()?.kid !== kid) {
        const last_seq = lastTask.get()?.seq ?? 0
        db.transaction(() => {
          retire.run()
          seals.run({ kid, sealing: 1, walked_seq: 0, last_seq })
        })()
      }
      // What a text was before must not stay behind in the pages that it leaves.
      if (isLeft()) db.pragma('secure_delete = ON')
    },

    isLeft,

    /** Seals the texts of the next task anew, where they need it. After the last one the other keys are needed no more. */
    step(): Unreadable[] {
      const { kid } = texts
      const { at, end } = walk.get() ?? { at: 0, end: 0 }
      if (kid === null) return []
      const task = next.get({ after: at, end })
      const unreadable = task === undefined ? [] : resealOne(task)
      goOn.run({ at: task?.seq ?? end })
      if (task === undefined || task.seq >= end) forget.run({ kid })
      return unreadable
    },

    /** Everything is sealed under the key of now. */
    end(): void {
      db.pragma('secure_delete = OFF')
    },
  }
}
