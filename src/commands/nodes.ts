import { defineCommand } from 'citty'
import * as v from 'valibot'
import { oneLine, table } from '../lib/table.js'
import { id } from '../wire/fields.js'
import { parseFlags, printJson, printLines, refuseMore, serviceArgs, serviceAt, timeOf } from './service-call.js'

// What a service answers may hold more than this version knows: it is kept for --json.
const nodesSchema = v.array(
  v.looseObject({
    node_id: v.string(),
    status: v.string(),
    transport: v.string(),
    supported_models: v.array(v.string()),
    in_progress_tasks: v.number(),
    max_concurrent_tasks: v.number(),
    drained: v.boolean(),
    failures_in_row: v.number(),
    cooled_until: v.nullable(v.number()),
    average_inference_time: v.number(),
    success_rate: v.nullable(v.number()),
    last_heartbeat: v.number(),
  }),
)

const list = defineCommand({
  meta: { name: 'list', description: 'List the registered nodes' },
  args: serviceArgs,
  async run({ args }) {
    refuseMore(args._, 0)
    const nodes = await serviceAt(args.url).get('/api/v1/nodes', nodesSchema)
    if (args.json === true) return printJson(nodes)
    const rows = nodes.map((n) => [
      n.node_id,
      n.drained ? `${n.status} (drained)` : n.status,
      n.transport,
      n.supported_models.join(','),
      `${n.in_progress_tasks}/${n.max_concurrent_tasks}`,
      n.success_rate === null ? null : `${Math.round(n.success_rate * 100)} %`,
      n.average_inference_time === 0 ? null : `${n.average_inference_time.toFixed(1)} s`,
      n.failures_in_row,
      timeOf(n.cooled_until),
      timeOf(n.last_heartbeat),
    ])
    printLines(
      table(
        [
          'node',
          'status',
          'transport',
          'models',
          'tasks',
          'success',
          'mean',
          'failures in row',
          'cooldown until',
          'last seen',
        ],
        rows,
      ),
    )
  },
})

const order = (name: string, description: string, done: string, method: 'POST' | 'DELETE', path: string) =>
  defineCommand({
    meta: { name, description },
    args: { id: { type: 'positional', description: 'The node_id', required: true, valueHint: 'ID' }, ...serviceArgs },
    async run({ args }) {
      refuseMore(args._, 1)
      const nodeId = parseFlags(v.object({ ID: id }), { ID: args.id }).ID
      const said = await serviceAt(args.url).order(
        method,
        `/api/v1/nodes/${encodeURIComponent(nodeId)}${path}`,
        v.string(),
      )
      if (args.json === true) printJson(said)
      else console.log(`${oneLine(nodeId)}: ${done}`)
    },
  })

export default defineCommand({
  meta: { name: 'nodes', description: 'Look at the nodes of a running service, drain, resume and forget them' },
  subCommands: {
    list,
    drain: order('drain', 'Give a node nothing new; what it holds it finishes', 'drains', 'POST', '/drain'),
    resume: order(
      'resume',
      'Give tasks again to a node that is drained or in cooldown',
      'gets tasks again',
      'POST',
      '/resume',
    ),
    forget: order('forget', 'Remove a node that holds nothing, and its key', 'forgotten', 'DELETE', ''),
  },
})
