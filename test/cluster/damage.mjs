import { rmSync } from 'node:fs'
import { Database } from '../../dist/store/sqlite.js'
import { checkRows } from './check.mjs'
import { differences, inFile, sumsOf } from './files.mjs'

const A_COMPLETED = "(SELECT rowid FROM inference_tasks WHERE status = 'completed' LIMIT 1)"

/** What the check of the rows must see, and beside it what only the comparison with another file can. */
const damages = [
  { sql: `DELETE FROM inference_tasks WHERE rowid = ${A_COMPLETED}`, inRows: true },
  { sql: `UPDATE inference_tasks SET output = output || ' ' WHERE rowid = ${A_COMPLETED}`, inRows: true },
  { sql: `UPDATE inference_tasks SET user_input = 'another' WHERE rowid = ${A_COMPLETED}`, inRows: true },
  { sql: "UPDATE ended_attempts SET node_id = 'nobody' WHERE end = 'completed'", inRows: true },
  { sql: 'UPDATE inference_nodes SET performance_score = performance_score / 2', inRows: false },
  { sql: "UPDATE task_counts SET tasks = tasks + 1 WHERE status = 'completed'", inRows: false },
]

/**
 * A check that never fails proves nothing: does each damage to a copy of a file.
 * @param file of a coordinator, which nobody writes now
 * @returns what was not noticed, one sentence each
 */
export function checkTheChecks(file, copy, ledger) {
  const wrong = []
  for (const { sql, inRows } of damages) {
    rmSync(copy, { force: true })
    const db = new Database(file, { readonly: true })
    db.prepare('VACUUM INTO ?').run(copy)
    db.close()
    const before = inFile(copy, sumsOf)
    const damaged = new Database(copy)
    damaged.pragma('foreign_keys = OFF')
    damaged.exec(sql)
    const found = checkRows(damaged, ledger).length > 0
    damaged.close()
    if (inRows && !found) wrong.push(`the check of the rows does not notice: ${sql}`)
    if (differences(before, inFile(copy, sumsOf)).length === 0) wrong.push(`the comparison does not notice: ${sql}`)
  }
  rmSync(copy, { force: true })
  return wrong
}
