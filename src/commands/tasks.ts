import { defineCommand } from 'citty'
import { text } from 'node:stream/consumers'
import * as v from 'valibot'
import { harmless, oneLine, table } from '../lib/table.js'
import { id } from '../wire/fields.js'
import { listQuery, submitBody } from '../wire/rest.js'
import { parseFlags, printJson, printLines, refuseMore, serviceArgs, serviceAt, timeOf } from './service-call.js'

const maybeText = v.nullable(v.string())
const maybeNumber = v.nullable(v.number())

// What a service answers may hold more than this version knows: it is kept for --json.
const lineSchema = v.looseObject({
  task_id: v.string(),
  status: v.string(),
  user_address: v.string(),
  model_name: v.string(),
  infer_fee: v.number(),
  attempt: v.number(),
  inference_node_id: maybeText,
  created_at: v.number(),
  error: maybeText,
})
const pageSchema = v.looseObject({ tasks: v.array(lineSchema), next_cursor: maybeText })
const detailSchema = v.looseObject({
  task_id: v.string(),
  status: v.string(),
  user_address: v.string(),
  user_input: v.string(),
  model_name: v.string(),
  infer_fee: v.number(),
  max_infer_time: v.number(),
  created_at: v.number(),
  updated_at: v.number(),
  error: maybeText,
  txid: maybeText,
  result: v.nullable(v.looseObject({ output: v.string(), confidence: maybeNumber })),
  attempts: v.array(
    v.looseObject({
      attempt: v.number(),
      node_id: v.string(),
      transport: v.string(),
      assigned_at: v.number(),
      accepted_at: maybeNumber,
      ended_at: maybeNumber,
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
  waiting: v.nullable(v.looseObject({ explanation: v.string(), position: v.union([v.number(), v.string()]) })),
})
type Detail = v.InferOutput<typeof detailSchema>

/** What `show` prints of a task. */
function describe(task: Detail): string[] {
  const facts: [string, string | null][] = [
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
    ['waits', task.waiting === null ? null : `${task.waiting.explanation}; position ${task.waiting.position}`],
  ]
  const lines = facts.flatMap(([name, value]) => (value === null ? [] : [`${name.padEnd(12)}${oneLine(value)}`]))
  const section = (title: string, content: readonly string[]): void => void lines.push('', title, ...content)
  section('prompt', harmless(task.user_input).split('\n'))
  if (task.result !== null)
    section(`result, confidence ${task.result.confidence}`, harmless(task.result.output).split('\n'))
  if (task.attempts.length > 0) {
    section(
      'attempts',
      table(
        ['#', 'node', 'transport', 'assigned', 'accepted', 'ended', 'end', 'fault', 'error'],
        task.attempts.map((a) => [
          a.attempt,
          a.node_id,
          a.transport,
          timeOf(a.assigned_at),
          timeOf(a.accepted_at),
          timeOf(a.ended_at),
          a.end,
          a.fault,
          a.error,
        ]),
      ),
    )
  }
  if (task.earlier_ends.length > 0) {
    section(
      'ended before, and retried',
      table(
        ['after #', 'status', 'ended', 'retried', 'error'],
        task.earlier_ends.map((e) => [e.attempt, e.status, timeOf(e.ended_at), timeOf(e.reopened_at), e.error]),
      ),
    )
  }
  return lines
}

const taskId = { id: { type: 'positional', description: 'The task_id', required: true, valueHint: 'ID' } } as const
const pathOf = (given: string): string =>
  `/api/v1/tasks/${encodeURIComponent(parseFlags(v.object({ ID: id }), { ID: given }).ID)}`

/** For this long a list that is not full goes on with older tasks, ms. */
const PATIENCE_MS = 5000

const list = defineCommand({
  meta: { name: 'list', description: 'List tasks, the newest first' },
  args: {
    status: { type: 'string', description: 'Only in this status', valueHint: 'pending' },
    model: { type: 'string', description: 'Only of this model, or of this family', valueHint: 'llama' },
    user: { type: 'string', description: 'Only of this user_address', valueHint: 'ST...' },
    node: { type: 'string', description: 'Only those this node was given', valueHint: 'node-001' },
    limit: { type: 'string', description: 'At most so many, 1 to 1000', default: '50', valueHint: '50' },
    cursor: { type: 'string', description: 'Go on where a list before ended', valueHint: 'N' },
    ...serviceArgs,
  },
  async run({ args }) {
    refuseMore(args._, 0)
    const { status, model, user, node, limit, cursor } = args
    const given = Object.entries({ status, model, user, node, limit, cursor }).filter(
      (e): e is [string, string] => typeof e[1] === 'string',
    )
    const asked = parseFlags(listQuery, Object.fromEntries(given))
    const service = serviceAt(args.url)
    const ask = (more: Record<string, string>) =>
      service.get(
        `/api/v1/tasks?${new URLSearchParams({ ...Object.fromEntries(given), ...more }).toString()}`,
        pageSchema,
      )
    let page = await ask({})
    // A page may be short, even empty, and not be the last: the service looks for a rare match a few milliseconds at a time.
    for (
      const began = Date.now();
      page.next_cursor !== null && page.tasks.length < asked.limit && Date.now() - began < PATIENCE_MS;
    ) {
      const next = await ask({ cursor: page.next_cursor, limit: String(asked.limit - page.tasks.length) })
      page = { ...next, tasks: [...page.tasks, ...next.tasks] }
    }
    if (args.json === true) return printJson(page)
    const rows = page.tasks.map((t) => [
      t.task_id,
      t.status,
      t.model_name,
      t.user_address,
      t.infer_fee,
      t.attempt,
      t.inference_node_id,
      timeOf(t.created_at),
      t.error,
    ])
    printLines(table(['task', 'status', 'model', 'user', 'fee', 'attempt', 'node', 'created', 'error'], rows))
    if (page.next_cursor !== null) printLines(['', `There are older tasks: the same with --cursor ${page.next_cursor}`])
  },
})

const show = defineCommand({
  meta: { name: 'show', description: 'Show a task, its attempts, and why it waits' },
  args: { ...taskId, ...serviceArgs },
  async run({ args }) {
    refuseMore(args._, 1)
    const task = await serviceAt(args.url).get(pathOf(args.id), detailSchema)
    if (args.json === true) printJson(task)
    else for (const line of describe(task)) console.log(line)
  },
})

const order = (name: 'cancel' | 'retry', description: string, done: string) =>
  defineCommand({
    meta: { name, description },
    args: { ...taskId, ...serviceArgs },
    async run({ args }) {
      refuseMore(args._, 1)
      const said = await serviceAt(args.url).order('POST', `${pathOf(args.id)}/${name}`, v.string())
      if (args.json === true) printJson(said)
      else console.log(`${oneLine(args.id)}: ${done}`)
    },
  })

const submit = defineCommand({
  meta: { name: 'submit', description: 'Submit a task, and print its task_id' },
  args: {
    model: {
      type: 'string',
      description: 'The model, or a family for any model of it',
      required: true,
      valueHint: 'llama-3-8b',
    },
    user: { type: 'string', description: 'The user_address', required: true, valueHint: 'ST...' },
    prompt: {
      type: 'string',
      description: 'The prompt; - reads it from standard input',
      required: true,
      valueHint: 'TEXT',
    },
    context: { type: 'string', description: 'What the model should know beside the prompt', valueHint: 'TEXT' },
    'infer-fee': {
      type: 'string',
      description: 'The fee of the inference, micro-STX',
      default: '0',
      valueHint: '2500',
    },
    'max-infer-time': {
      type: 'string',
      description: 'How long the inference may take, seconds',
      default: '300',
      valueHint: '300',
    },
    'task-id': {
      type: 'string',
      description: 'The task_id; the same one again creates nothing new. Default: the service makes one up',
      valueHint: 'ID',
    },
    ...serviceArgs,
  },
  async run({ args }) {
    refuseMore(args._, 0)
    const client = serviceAt(args.url)
    const seconds = args['max-infer-time']
    const body = {
      task_id: args['task-id'],
      user_address: args.user,
      user_input: args.prompt === '-' ? await text(process.stdin) : args.prompt,
      context: args.context ?? '',
      infer_fee: args['infer-fee'],
      max_infer_time: /^\d+$/.test(seconds) ? Number(seconds) : seconds,
      model_name: args.model,
    }
    parseFlags(submitBody, body)
    const created = await client.post('/api/v1/tasks/submit', body, v.looseObject({ task_id: v.string() }))
    if (args.json === true) printJson(created)
    else console.log(created.task_id)
  },
})

export default defineCommand({
  meta: { name: 'tasks', description: 'Look at the tasks of a running service, submit, cancel and retry them' },
  subCommands: {
    list,
    show,
    cancel: order('cancel', 'Cancel a task that waits or is worked on', 'cancelled'),
    retry: order('retry', 'Open a task again that has failed or timed out', 'queued again'),
    submit,
  },
})
