import type { TaskLine } from './page-statements.js'
import type { TaskTexts } from './task-texts.js'

/** How a line has an error that is sealed, or looks so: as SQLite writes JSON. */
const MARK = '"error":"enc'
/** In the place of an error that cannot be read: one damaged row must not keep the list from being read. */
const UNREADABLE = '(this text cannot be decrypted; ask for the task itself, and the log says why)'

/** The lines of a list, a JSON array of TaskLine, with the one text in them in the clear. Without sealed texts it is only looked through. */
export function openLines(lines: string, texts: Pick<TaskTexts, 'open'>): string {
  if (!lines.includes(MARK)) return lines
  const open = (line: TaskLine): TaskLine => {
    if (line.error === null) return line
    try {
      return { ...line, error: texts.open('error', line.task_id, line.error) }
    } catch {
      return { ...line, error: UNREADABLE }
    }
  }
  // They are what page-statements.ts has made.
  return JSON.stringify((JSON.parse(lines) as TaskLine[]).map(open))
}
