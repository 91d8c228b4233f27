import * as v from 'valibot'
import { clientServerMessages } from './client-answers.js'
import { attempt, id } from './fields.js'
import { outputChannel } from './messages.js'

const { 'task.status': status, 'task.output': output, 'task.result': result } = clientServerMessages

/** What the events of a task say, by their names. */
export const taskEventData = {
  status: v.omit(status, ['type']),
  /** A piece of its text; `offset` in UTF-16 units, of each channel by itself. */
  output: v.object({ ...v.omit(output, ['type']).entries, channel: outputChannel }),
  /** What was told of the text before is no longer of the answer: it begins anew. */
  restart: v.object({ task_id: id, attempt }),
  result: v.omit(result, ['type']),
}
type EventData = { [Name in keyof typeof taskEventData]: v.InferOutput<(typeof taskEventData)[Name]> }

/** What happens to a task, as its submitter is told over any transport. */
export type TaskEvent = { [Name in keyof EventData]: { event: Name } & EventData[Name] }[keyof EventData]

const event = <const N extends keyof typeof taskEventData>(name: N, given: (typeof taskEventData)[N]) => ({
  event: v.literal(name),
  data: given,
})
/** The id of what moves a reader on. */
const place = v.pipe(v.string(), v.regex(/^\d+\.\d+$/))
const lastPlace = v.pipe(v.string(), v.regex(/^\d+\.\d+\.end$/))

/** The same as a server-sent event, its data parsed. */
export const taskEvent = v.union([
  v.object(event('status', taskEventData.status)),
  v.object({ ...event('output', taskEventData.output), id: v.optional(place) }),
  v.object(event('restart', taskEventData.restart)),
  v.object({ ...event('result', taskEventData.result), id: lastPlace }),
])
