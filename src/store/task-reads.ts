import { eq, getTableColumns, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import { inferenceTasks as tasks, type TaskRow } from './schema.js'
import type { Prompt, TaskTexts } from './task-texts.js'
import type { Database } from './sqlite.js'

const { user_input, context, output, error, text_keys: _keys, texts_digest, ...headColumns } = getTableColumns(tasks)
const { task_id, status, attempt, confidence, completed_at, inference_node_id } = headColumns
const resultColumns = { task_id, status, attempt, confidence, completed_at, inference_node_id, output, error }

/** A task without its texts: what its life is decided by. It can be read whatever has become of the texts. */
export type TaskHead = Pick<TaskRow, keyof typeof headColumns>
/** What came of a task, for who watches it. */
export type TaskResult = Pick<TaskRow, keyof typeof resultColumns>

/** Reads one task, as much of it as is asked for. Texts are opened here, each as seldom as it can be. */
export function createTaskReads(db: Database, texts: TaskTexts) {
  const orm = drizzle(db)
  const thisOne = eq(task_id, sql.placeholder('task_id'))
  const get = orm.select().from(tasks).where(thisOne).prepare()
  const head = orm.select(headColumns).from(tasks).where(thisOne).prepare()
  const result = orm.select(resultColumns).from(tasks).where(thisOne).prepare()
  const came = orm.select({ task_id, user_input, context, texts_digest }).from(tasks).where(thisOne).prepare()

  const openResult = (row: Pick<TaskRow, 'task_id' | 'output' | 'error'>): void => {
    if (row.output !== null) row.output = texts.open('output', row.task_id, row.output)
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
      openResult(row)
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
     * Whether a task was submitted with these texts; as they came, encrypted or not.
     * @throws SealedTextError
     */
    hasTexts(taskId: string, prompt: Prompt): boolean {
      const row = came.get({ task_id: taskId })
      return row !== undefined && texts.isSame(row, prompt)
    },
  }
}
