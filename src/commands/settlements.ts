import { defineCommand } from 'citty'
import * as v from 'valibot'
import { oneLine } from '../lib/table.js'
import { settlementsQuery } from '../wire/settlement.js'
import { pageArgs, printPage } from './paged-list.js'
import { printFacts, printJson, timeOf } from './print.js'
import { refuseMore, serviceArgs, serviceAt } from './service-call.js'
import { maybeNumber, maybeText, parseTaskId, taskId } from './tasks/task-call.js'

// What a service answers may hold more than this version knows: it is kept for --json.
const entry = v.looseObject({
  task_id: v.string(),
  txid: v.string(),
  state: v.string(),
  origin: v.string(),
  nonce: v.number(),
  payee: maybeText,
  output_hash: v.string(),
  tries: v.number(),
  last_error: maybeText,
  height: maybeNumber,
  index_block_hash: maybeText,
  final: v.boolean(),
  posted_at: maybeNumber,
  created_at: v.number(),
  updated_at: v.number(),
})
const pageSchema = v.looseObject({ settlements: v.array(entry), next_cursor: maybeText })
type Entry = v.InferOutput<typeof entry>

const columns = [
  { title: 'task' },
  { title: 'state' },
  { title: 'txid', importance: 2, shrinksTo: 14 },
  { title: 'payee', importance: 3 },
  { title: 'origin', importance: 1 },
  { title: 'nonce', importance: 4 },
  { title: 'height', importance: 5 },
  { title: 'updated', importance: 6 },
  { title: 'error', importance: 7, shrinksTo: 20 },
]

const list = defineCommand({
  meta: { name: 'list', description: 'List payments of completed tasks, by task_id, the last first' },
  args: {
    state: { type: 'string', description: 'Only in this state', valueHint: 'ready' },
    ...pageArgs('ID'),
  },
  async run({ args }) {
    refuseMore(args._, 0)
    const { state, limit, cursor } = args
    await printPage(args, {
      path: '/api/v1/settlements',
      query: settlementsQuery,
      asked: { state, limit, cursor },
      page: pageSchema,
      columns,
      rows: (page) =>
        page.settlements.map((s) => [
          s.task_id,
          s.state,
          s.txid,
          s.payee,
          s.origin,
          s.nonce,
          s.height,
          timeOf(s.updated_at),
          s.last_error,
        ]),
      rest: 'older ones',
    })
  },
})

const factsOf = (s: Entry): [string, string | null][] => [
  ['task', s.task_id],
  ['state', s.final ? `${s.state}, for good` : s.state],
  ['txid', s.txid],
  ['origin', `${s.origin}, nonce ${s.nonce}`],
  ['payee', s.payee],
  ['output hash', s.output_hash],
  ['block', s.height === null ? null : `${s.height}${s.index_block_hash === null ? '' : ` (${s.index_block_hash})`}`],
  ['posted', s.posted_at === null ? null : timeOf(s.posted_at)],
  ['failed tries', s.tries === 0 ? null : String(s.tries)],
  ['error', s.last_error],
  ['completed', timeOf(s.created_at)],
  ['updated', timeOf(s.updated_at)],
]
const pathOf = (id: string): string => `/api/v1/settlements/${encodeURIComponent(parseTaskId(id))}`

const show = defineCommand({
  meta: { name: 'show', description: 'Show what has become of the payment of a task' },
  args: { ...taskId, ...serviceArgs },
  async run({ args }) {
    refuseMore(args._, 1)
    const found = await serviceAt(args).get(pathOf(args.id), entry)
    if (args.json === true) printJson(found)
    else printFacts(factsOf(found))
  },
})

const retry = defineCommand({
  meta: { name: 'retry', description: 'Post a payment again now, also one that has gone wrong' },
  args: { ...taskId, ...serviceArgs },
  async run({ args }) {
    refuseMore(args._, 1)
    const again = await serviceAt(args).order('POST', `${pathOf(args.id)}/retry`, entry)
    if (args.json === true) printJson(again)
    else console.log(`${oneLine(args.id)}: ${again.state}, tried again now`)
  },
})

export default defineCommand({
  meta: { name: 'settlements', description: 'Look at the payments of completed tasks, and try them again' },
  subCommands: { list, show, retry },
})
