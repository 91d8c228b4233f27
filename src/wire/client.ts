import * as v from 'valibot'
import { offset, ref } from './client-answers.js'
import { attempt, id, shortText } from './fields.js'
import { parserOf } from './messages.js'
import { fillSubmission, MODEL_FIELDS, namesModel, submissionEntries } from './rest.js'

/** How much a submitter wants to hear of a task. */
const watch = v.picklist(['none', 'result', 'output'], 'must be one of none, result, output')
const kept = v.picklist(['result', 'output'], 'must be one of result, output')
/** What a submitter may say, by `type`. */
export const clientMessages = {
  /** Who it is, as its first message: of a program that cannot say so at the upgrade, such as a web page. */
  'session.auth': v.object({ type: v.literal('session.auth'), token: shortText(1, 256) }),
  'task.submit': v.pipe(
    v.object({ type: v.literal('task.submit'), ref, watch: v.optional(watch, 'result'), ...submissionEntries }),
    v.forward(v.partialCheck(MODEL_FIELDS, namesModel, 'is missing'), ['model_name']),
    v.transform((s) => ({ type: s.type, ref: s.ref, watch: s.watch, task: fillSubmission(s) })),
  ),
  'task.watch': v.object({
    type: v.literal('task.watch'),
    task_id: id,
    watch: v.optional(kept, 'result'),
    attempt: v.nullish(attempt),
    offset: v.optional(offset, 0),
  }),
  'task.unwatch': v.object({ type: v.literal('task.unwatch'), task_id: id }),
  'task.cancel': v.object({ type: v.literal('task.cancel'), task_id: id }),
} as const
type ClientMessage = v.InferOutput<(typeof clientMessages)[keyof typeof clientMessages]>
export type ClientSubmission = Extract<ClientMessage, { type: 'task.submit' }>
type ClientAuth = Extract<ClientMessage, { type: 'session.auth' }>
export type ClientRequest = Exclude<ClientMessage, ClientSubmission | ClientAuth>
export type TaskWatch = Extract<ClientMessage, { type: 'task.watch' }>

/** Parses one message of a submitter. */
export const parseClientMessage = parserOf(clientMessages)

/** The `ref` of a message that did not fit, so that its answer can name it. */
export const refOf = (value: unknown): { ref?: string } =>
  typeof value === 'object' && value !== null && 'ref' in value && v.is(ref, value.ref) ? { ref: value.ref } : {}
