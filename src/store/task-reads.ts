import { eq, sql, type Column } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import { sortedJson } from '../lib/canonical-json.js'
import { taskColumns } from './open-columns.js'
import { inferenceTasks as tasks, type TaskRow } from './schema.js'
import { MARK, type Prompt, type TaskTexts } from './task-texts.js'
import type { Database } from './sqlite.js'

const {
  user_input,
  context,
  output,
  error,
  params,
  result_notes,
  text_keys: _keys,
  texts_digest,
  ...headColumns
} = taskColumns
const { task_id, status, attempt, confidence, completed_at, inference_node_id } = headColumns
const { error_code } = headColumns
const resultColumns = {
  task_id,
  status,
  attempt,
  confidence,
  completed_at,
  inference_node_id,
  output,
  result_notes,
  error,
  error_code,
}

/** Text, or its UTF-8 where that is more than LARGE_TEXT_BYTES, from which on answers are made in steps: to make a string of 4 MiB of it holds the thread for 20 to 40 ms. */
export type LargeText = string | Uint8Array
export const LARGE_TEXT_BYTES = 128 * 1024
type LargeTexts = 'user_input' | 'context' | 'signed_tx' | 'output'
/** A task as it is shown. */
export type ShownTask = Omit<TaskRow, LargeTexts> & {
  [K in LargeTexts]: LargeText | Extract<TaskRow[K], null>
}

/** A task without its texts: what its life is decided by. It can be read whatever has become of the texts. */
export type TaskHead = Pick<TaskRow, keyof typeof headColumns>
/** What came of a task, for who watches it. */
export type TaskResult = Pick<TaskRow, keyof typeof resultColumns>

/** Reads one task, as much of it as is asked for. Texts are opened here, each as seldom as it can be. */
export function createTaskReads(db: Database, texts: TaskTexts) {
  const orm = drizzle(db)
  const thisOne = eq(task_id, sql.placeholder('task_id'))
  const get = orm.select(taskColumns).from(tasks).where(thisOne).prepare()
  const head = orm.select(headColumns).from(tasks).where(thisOne).prepare()
  const result = orm.select(resultColumns).from(tasks).where(thisOne).prepare()
  const shown = <K extends LargeTexts>(column: Column) =>
    sql<
      ShownTask[K]
    >`CASE WHEN octet_length(${column}) > ${sql.raw(String(LARGE_TEXT_BYTES))} THEN CAST(${column} AS BLOB) ELSE ${column} END`
  const show = orm
    .select({
      ...taskColumns,
      user_input: shown<'user_input'>(user_input),
      context: shown<'context'>(context),
      signed_tx: shown<'signed_tx'>(tasks.signed_tx),
      output: shown<'output'>(output),
    })
    .from(tasks)
    .where(thisOne)
    .prepare()
  const came = orm.select({ task_id, user_input, context, params, texts_digest }).from(tasks).where(thisOne).prepare()

  const openResult = (row: Pick<TaskRow, 'task_id' | 'output' | 'result_notes' | 'error'>): void => {
    if (row.output !== null) row.output = texts.open('output', row.task_id, row.output)
    if (row.result_notes !== null) row.result_notes = texts.open('result_notes', row.task_id, row.result_notes)
    if (row.error !== null) row.error = texts.open('error', row.task_id, row.error)
  }

  return {
    /**
     * A task with all its texts in the clear.
     * @throws Error when one of them cannot be read: SealedTextError, or it came encrypted for another signer
     */
    get(taskId: string): TaskRow | undefined {
      const row = get.get({ task_id: taskId })
      if (row === undefined) return undefined
      Object.assign(row, texts.prompt(row))
      if (row.params !== null) row.params = texts.open('params', taskId, row.params)
      openResult(row)
      return row
    },
    /**
     * For an answer only: its large texts are bytes, but for those that were sealed or came encrypted.
     * @throws as `get`
     */
    show(taskId: string): ShownTask | undefined {
      const row = show.get({ task_id: taskId })
      if (row === undefined) return undefined
      if (row.is_encrypted === 1 || isMarked(row.user_input) || isMarked(row.context)) {
        const prompt = { user_input: textOf(row.user_input), context: textOf(row.context) }
        Object.assign(row, texts.prompt({ ...row, ...prompt }))
      }
      if (row.output !== null && isMarked(row.output)) row.output = texts.open('output', taskId, textOf(row.output))
      if (row.error !== null) row.error = texts.open('error', taskId, row.error)
      if (row.params !== null) row.params = texts.open('params', taskId, row.params)
      if (row.result_notes !== null) row.result_notes = texts.open('result_notes', taskId, row.result_notes)
      return row
    },
    /**
     * A task with its texts as they came: those that came encrypted still are.
     * @throws SealedTextError
     */
    asSent(taskId: string): ShownTask | undefined {
      const row = show.get({ task_id: taskId })
      if (row === undefined) return undefined
      const open = (column: 'user_input' | 'context' | 'output', text: LargeText): LargeText =>
        isMarked(text) ? texts.open(column, taskId, textOf(text)) : text
      row.user_input = open('user_input', row.user_input)
      row.context = open('context', row.context)
      if (row.output !== null) row.output = open('output', row.output)
      return row
    },
    head: (taskId: string): TaskHead | undefined => head.get({ task_id: taskId }),
    /** @throws SealedTextError */
    result(taskId: string): TaskResult | undefined {
      const row = result.get({ task_id: taskId })
      if (row !== undefined) openResult(row)
      return row
    },
    /**
     * Whether a task was submitted with these texts, as they came, encrypted or not; and with the same parameters in whatever order.
     * @throws SealedTextError
     */
    hasTexts(taskId: string, prompt: Prompt & Pick<TaskRow, 'params'>): boolean {
      const row = came.get({ task_id: taskId })
      if (row === undefined || !texts.isSame(row, prompt)) return false
      return sameParams(row.params === null ? null : texts.open('params', taskId, row.params), prompt.params)
    },
  }
}

/** Whether two say the same, as JSON, whatever the order of their members. */
export const sameParams = (a: string | null, b: string | null): boolean =>
  a === b || (a !== null && b !== null && sortedJson(JSON.parse(a)) === sortedJson(JSON.parse(b)))

const textOf = (text: LargeText): string =>
  typeof text === 'string' ? text : Buffer.from(text.buffer, text.byteOffset, text.byteLength).toString()
const isMarked = (text: LargeText): boolean =>
  (typeof text === 'string' ? text : textOf(text.subarray(0, MARK.length))).startsWith(MARK)
