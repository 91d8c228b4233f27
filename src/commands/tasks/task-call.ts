import * as v from 'valibot'
import { id } from '../../wire/fields.js'
import { parseFlags } from '../service-call.js'

/** The word of every command that is about one task. */
export const taskId = {
  id: { type: 'positional', description: 'The task_id', required: true, valueHint: 'ID' },
} as const

/** @throws ConfigError when the word is no task_id */
export const parseTaskId = (given: string): string => parseFlags(v.object({ ID: id }), { ID: given }).ID

/** The route of a task. @throws ConfigError when the word is no task_id */
export const pathOf = (given: string): string => `/api/v1/tasks/${encodeURIComponent(parseTaskId(given))}`

export const maybeText = v.nullable(v.string())
export const maybeNumber = v.nullable(v.number())
