import { defineCommand } from 'citty'
import * as v from 'valibot'
import { durationOf, inSeconds, printFacts, printJson } from './print.js'
import { refuseMore, serviceArgs, serviceAt } from './service-call.js'

const n = v.number()

// What a service answers may hold more than this version knows: it is kept for --json.
const statsSchema = v.looseObject({
  total_tasks: n,
  pending_tasks: n,
  processing_tasks: n,
  completed_tasks: n,
  submitted_tasks: n,
  failed_tasks: n,
  timeout_tasks: n,
  total_nodes: n,
  online_nodes: n,
  busy_nodes: n,
  offline_nodes: n,
  maintenance_nodes: n,
  average_inference_time: n,
  uptime_seconds: n,
  callbacks: v.optional(v.looseObject({ waiting: n, pending: n, delivered: n, dead: n })),
})

/** Where callbacks are sent, how many stand how. */
const callbackFacts = (of: v.InferOutput<typeof statsSchema>['callbacks']): [string, number][] =>
  of === undefined
    ? []
    : [
        ['callbacks', of.waiting + of.pending + of.delivered + of.dead],
        ['  waiting', of.waiting],
        ['  pending', of.pending],
        ['  delivered', of.delivered],
        ['  dead', of.dead],
      ]

export default defineCommand({
  meta: { name: 'stats', description: 'Count the tasks and the nodes of a running service' },
  args: serviceArgs,
  async run({ args }) {
    refuseMore(args._, 0)
    const s = await serviceAt(args).get('/api/v1/stats', statsSchema)
    if (args.json === true) return printJson(s)
    printFacts([
      ['tasks', s.total_tasks],
      ['  pending', s.pending_tasks],
      ['  in progress', s.processing_tasks],
      ['  completed', s.completed_tasks],
      ['  submitted', s.submitted_tasks],
      ['  failed', s.failed_tasks],
      ['  timeout', s.timeout_tasks],
      ['nodes', s.total_nodes],
      ['  online', s.online_nodes],
      ['  busy', s.busy_nodes],
      ['  offline', s.offline_nodes],
      ['  maintenance', s.maintenance_nodes],
      ...callbackFacts(s.callbacks),
      ['mean time', s.average_inference_time === 0 ? null : `${inSeconds(s.average_inference_time)} in the last hour`],
      ['up for', durationOf(s.uptime_seconds)],
    ])
  },
})
