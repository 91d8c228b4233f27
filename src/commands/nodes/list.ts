import { defineCommand } from 'citty'
import { inSeconds, percentOf, printJson, printTable, timeOf } from '../print.js'
import { refuseMore, serviceArgs, serviceAt, wideArg } from '../service-call.js'
import { allNodes, statusOf } from './node-call.js'

const columns = [
  { title: 'node' },
  { title: 'status' },
  { title: 'transport', importance: 2 },
  { title: 'models', importance: 7, shrinksTo: 12 },
  { title: 'tasks', importance: 9 },
  { title: 'success', importance: 5 },
  { title: 'mean', importance: 4 },
  { title: 'failures in row', importance: 1 },
  { title: 'cooldown until', importance: 6 },
  { title: 'last seen', importance: 3 },
  { title: 'reason', importance: 8, shrinksTo: 16 },
]

export default defineCommand({
  meta: { name: 'list', description: 'List the registered nodes' },
  args: { ...wideArg, ...serviceArgs },
  async run({ args }) {
    refuseMore(args._, 0)
    const nodes = await allNodes(serviceAt(args))
    if (args.json === true) return printJson(nodes)
    const rows = nodes.map((n) => [
      n.node_id,
      statusOf(n),
      n.transport,
      n.supported_models.join(','),
      `${n.in_progress_tasks}/${n.max_concurrent_tasks}`,
      percentOf(n.success_rate),
      n.average_inference_time === 0 ? null : inSeconds(n.average_inference_time),
      n.failures_in_row,
      timeOf(n.cooled_until),
      timeOf(n.last_heartbeat),
      n.status_reason ?? null,
    ])
    printTable(columns, rows, args.wide === true)
  },
})
