import { defineCommand } from 'citty'
import * as v from 'valibot'
import { listQuery } from '../../wire/rest.js'
import { givenFlags, pageArgs } from '../paged-list.js'
import { printJson, printLines, printTable, timeOf } from '../print.js'
import { parseFlags, refuseMore, serviceAt } from '../service-call.js'
import { maybeText } from './task-call.js'

// What a service answers may hold more than this version knows: it is kept for --json.
const lineSchema = v.looseObject({
  task_id: v.string(),
  status: v.string(),
  user_address: maybeText, // null where the token may not see it
  model_name: v.string(),
  infer_fee: v.number(),
  attempt: v.number(),
  inference_node_id: maybeText,
  created_at: v.number(),
  error: maybeText,
})
const pageSchema = v.looseObject({ tasks: v.array(lineSchema), next_cursor: maybeText })

const columns = [
  { title: 'task' },
  { title: 'status' },
  { title: 'model', importance: 7, shrinksTo: 12 },
  { title: 'user', importance: 1 },
  { title: 'fee', importance: 2 },
  { title: 'attempt', importance: 3 },
  { title: 'node', importance: 5 },
  { title: 'created', importance: 4 },
  { title: 'error', importance: 6, shrinksTo: 16 },
]

/** For this long a list that is not full goes on with older tasks, ms. */
const PATIENCE_MS = 5000

export default defineCommand({
  meta: { name: 'list', description: 'List tasks, the newest first' },
  args: {
    status: { type: 'string', description: 'Only in this status', valueHint: 'pending' },
    model: { type: 'string', description: 'Only of this model, or of this family', valueHint: 'llama' },
    user: { type: 'string', description: 'Only of this user_address', valueHint: 'ST...' },
    node: { type: 'string', description: 'Only those this node was given', valueHint: 'node-001' },
    ...pageArgs('N'),
  },
  async run({ args }) {
    refuseMore(args._, 0)
    const { status, model, user, node, limit, cursor } = args
    const given = givenFlags({ status, model, user, node, limit, cursor })
    const asked = parseFlags(listQuery, given)
    const service = serviceAt(args)
    const ask = (more: Record<string, string>) =>
      service.get(`/api/v1/tasks?${new URLSearchParams({ ...given, ...more }).toString()}`, pageSchema)
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
    printTable(columns, rows, args.wide === true)
    if (page.next_cursor !== null) printLines(['', `There are older tasks: the same with --cursor ${page.next_cursor}`])
  },
})
