import { defineCommand } from 'citty'
import { RestError } from '../../lib/rest-client.js'
import { oneLine } from '../../lib/table.js'
import { inSeconds, percentOf, printFacts, printJson, timeOf } from '../print.js'
import { refuseMore, serviceArgs, serviceAt } from '../service-call.js'
import { allNodes, nodeId, parseNodeId, statusOf, type NodeEntry } from './node-call.js'

/** What has a line of its own, or a place in one. */
const shown = new Set([
  'node_id',
  'status',
  'status_reason',
  'drained',
  'transport',
  'supported_models',
  'in_progress_tasks',
  'max_concurrent_tasks',
  'success_rate',
  'average_inference_time',
  'failures_in_row',
  'cooled_until',
  'last_heartbeat',
])

/** All that is known of a node, also what only a newer service says. */
function factsOf(n: NodeEntry): [string, string | null][] {
  const more = Object.entries(n).filter(([name]) => !shown.has(name))
  return [
    ['node', n.node_id],
    ['status', statusOf(n)],
    ['reason', n.status_reason ?? null],
    ['transport', n.transport],
    ['models', n.supported_models.join(', ')],
    ['tasks', `${n.in_progress_tasks} of ${n.max_concurrent_tasks} at once`],
    ['success', percentOf(n.success_rate) ?? 'nothing has ended yet'],
    ['mean time', n.average_inference_time === 0 ? null : inSeconds(n.average_inference_time)],
    ['failures', `${n.failures_in_row} in a row`],
    ['cooldown', n.cooled_until === null ? null : `until ${timeOf(n.cooled_until)}`],
    ['last seen', timeOf(n.last_heartbeat)],
    ...more.map(([name, value]): [string, string | null] => [name.replaceAll('_', ' '), textOf(value)]),
  ]
}

function textOf(value: unknown): string | null {
  if (value === null || value === '') return null
  return typeof value === 'string' ? value : JSON.stringify(value)
}

export default defineCommand({
  meta: { name: 'show', description: 'Show all that is known of a node' },
  args: { ...nodeId, ...serviceArgs },
  async run({ args }) {
    refuseMore(args._, 1)
    const wanted = parseNodeId(args.id)
    const node = (await allNodes(serviceAt(args))).find((n) => n.node_id === wanted)
    if (node === undefined) throw new RestError(`there is no node ${oneLine(wanted)}; nodes list has all of them`)
    if (args.json === true) printJson(node)
    else printFacts(factsOf(node))
  },
})
