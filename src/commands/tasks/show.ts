import { defineCommand } from 'citty'
import * as v from 'valibot'
import { harmless } from '../../lib/table.js'
import { between, printFacts, printJson, printLines, printTable, timeOf } from '../print.js'
import { refuseMore, serviceArgs, serviceAt, wideArg } from '../service-call.js'
import { maybeNumber, maybeText, pathOf, taskId } from './task-call.js'

// What a service answers may hold more than this version knows: it is kept for --json.
const detailSchema = v.looseObject({
  task_id: v.string(),
  status: v.string(),
  // What the token may not see is null: texts, and who has submitted it.
  user_address: maybeText,
  user_input: maybeText,
  model_name: v.string(),
  infer_fee: v.number(),
  max_infer_time: v.number(),
  created_at: v.number(),
  updated_at: v.number(),
  error: maybeText,
  txid: maybeText,
  result: v.nullable(v.looseObject({ output: maybeText, confidence: maybeNumber })),
  attempts: v.array(
    v.looseObject({
      attempt: v.number(),
      node_id: v.string(),
      transport: v.string(),
      assigned_at: v.number(),
      accepted_at: maybeNumber,
      ended_at: maybeNumber,
      // A service of an earlier version does not say these.
      accepted_ms: v.optional(maybeNumber),
      first_word_ms: v.optional(maybeNumber),
      ended_ms: v.optional(maybeNumber),
      end: maybeText,
      fault: maybeText,
      error: maybeText,
    }),
  ),
  earlier_ends: v.array(
    v.looseObject({
      attempt: v.number(),
      status: v.string(),
      error: maybeText,
      ended_at: v.number(),
      reopened_at: v.number(),
    }),
  ),
  callback: v.nullish(
    v.looseObject({
      url: maybeText,
      state: v.string(),
      tries: v.number(),
      next_try_at: maybeNumber,
      last_error: maybeText,
    }),
  ),
  waiting: v.nullable(
    v.looseObject({
      explanation: v.string(),
      position: v.union([v.number(), v.string()]),
      nodes: v.optional(v.array(v.looseObject({ node_id: v.string(), why: v.string() }))),
    }),
  ),
})
type Detail = v.InferOutput<typeof detailSchema>

const attemptColumns = [
  { title: '#' },
  { title: 'node' },
  { title: 'transport', importance: 1 },
  { title: 'assigned', importance: 4 },
  { title: 'accepted', importance: 2 },
  { title: 'ended', importance: 3 },
  { title: 'first word', importance: 6 },
  { title: 'took', importance: 7 },
  { title: 'end' },
  { title: 'fault', importance: 5 },
]
/** Why a node does not have a task. A newer service may know more reasons. */
const WHY_NOT: ReadonlyMap<string, string> = new Map([
  ['offline', 'is offline'],
  ['maintenance', 'is in maintenance'],
  ['drained', 'is drained: an operator gives it nothing new'],
  ['cooldown', 'is in cooldown after failures in a row'],
  ['busy', 'is busy'],
  ['needs_feature', 'lacks a feature that the task needs'],
  ['failed_before', 'has failed this task'],
  ['rejected', 'has rejected this task'],
  ['probation', 'is new, and gets little for now'],
  ['not_covered', 'has too little stake'],
  ['next', 'gets it next'],
])
const endColumns = [{ title: 'after #' }, { title: 'status' }, { title: 'ended' }, { title: 'retried', importance: 1 }]

/** Errors are the words of nodes, and may be long: not in a column, where they would be cut. */
const errorsOf = (of: readonly { attempt: number; error: string | null }[]): string[] =>
  of.flatMap(({ attempt, error }) => (error === null ? [] : harmless(`error of #${attempt}: ${error}`).split('\n')))

const textLines = (text: string | null): string[] =>
  text === null ? ['(this token may not read texts)'] : harmless(text).split('\n')

/** How the callback of a task stands, in a line. */
function callbackOf({ callback }: Detail): string | null {
  if (callback == null) return null
  const { url, state, tries, next_try_at, last_error } = callback
  const next = next_try_at === null ? '' : `, next try ${timeOf(next_try_at)}`
  const failed = tries === 0 ? '' : `, ${tries} failed ${tries === 1 ? 'try' : 'tries'}: ${last_error}`
  return `${state}${next}${failed}; ${url}`
}

function print(task: Detail, wide: boolean): void {
  printFacts([
    ['task', task.task_id],
    ['status', task.status],
    ['error', task.error],
    ['user', task.user_address],
    ['model', task.model_name],
    ['fee', `${task.infer_fee} micro-STX`],
    ['time limit', `${task.max_infer_time} s`],
    ['created', timeOf(task.created_at)],
    ['updated', timeOf(task.updated_at)],
    ['txid', task.txid],
    ['callback', callbackOf(task)],
    ['waits', task.waiting === null ? null : `${task.waiting.explanation}; position ${task.waiting.position}`],
  ])
  const nodes = task.waiting?.nodes ?? []
  if (nodes.length > 0) {
    printLines(['', 'nodes that serve its model, and why each does not have it'])
    const rows = nodes.map(({ node_id, why }) => [node_id, WHY_NOT.get(why) ?? why.replaceAll('_', ' ')])
    printTable([{ title: 'node' }, { title: 'why' }], rows, wide)
  }
  printLines(['', 'prompt', ...textLines(task.user_input)])
  if (task.result !== null)
    printLines(['', `result, confidence ${task.result.confidence}`, ...textLines(task.result.output)])
  if (task.attempts.length > 0) {
    printLines(['', 'attempts'])
    const rows = task.attempts.map((a) => [
      a.attempt,
      a.node_id,
      a.transport,
      timeOf(a.assigned_at),
      timeOf(a.accepted_at),
      timeOf(a.ended_at),
      between(a.accepted_ms, a.first_word_ms),
      between(a.accepted_ms, a.ended_ms),
      a.end,
      a.fault,
    ])
    printTable(attemptColumns, rows, wide)
    printLines(errorsOf(task.attempts))
  }
  if (task.earlier_ends.length > 0) {
    printLines(['', 'ended before, and retried'])
    const rows = task.earlier_ends.map((e) => [e.attempt, e.status, timeOf(e.ended_at), timeOf(e.reopened_at)])
    printTable(endColumns, rows, wide)
    printLines(errorsOf(task.earlier_ends))
  }
}

export default defineCommand({
  meta: { name: 'show', description: 'Show a task, its attempts, and why it waits' },
  args: { ...taskId, ...wideArg, ...serviceArgs },
  async run({ args }) {
    refuseMore(args._, 1)
    const task = await serviceAt(args).get(pathOf(args.id), detailSchema)
    if (args.json === true) printJson(task)
    else print(task, args.wide === true)
  },
})
