import { defineCommand } from 'citty'
import * as v from 'valibot'
import { oneLine } from '../lib/table.js'
import { nodeId, parseNodeId } from './nodes/node-call.js'
import { printJson } from './print.js'
import { refuseMore, serviceArgs, serviceAt } from './service-call.js'

const order = (name: string, description: string, done: string, method: 'POST' | 'DELETE', path: string) =>
  defineCommand({
    meta: { name, description },
    args: { ...nodeId, ...serviceArgs },
    async run({ args }) {
      refuseMore(args._, 1)
      const route = `/api/v1/nodes/${encodeURIComponent(parseNodeId(args.id))}${path}`
      const said = await serviceAt(args).order(method, route, v.string())
      if (args.json === true) printJson(said)
      else console.log(`${oneLine(args.id)}: ${done}`)
    },
  })

export default defineCommand({
  meta: {
    name: 'nodes',
    description: 'Look at the nodes of a service; drain, resume and forget them; say which may join',
  },
  // Each is loaded only when it is called.
  subCommands: {
    list: () => import('./nodes/list.js').then((m) => m.default),
    show: () => import('./nodes/show.js').then((m) => m.default),
    drain: order('drain', 'Give a node nothing new; what it holds it finishes', 'drains', 'POST', '/drain'),
    resume: order(
      'resume',
      'Give tasks again to a node that is drained or in cooldown',
      'gets tasks again',
      'POST',
      '/resume',
    ),
    forget: order('forget', 'Remove a node that holds nothing, and its key', 'forgotten', 'DELETE', ''),
    invite: () => import('./enrolment.js').then((m) => m.invite),
    allow: () => import('./enrolment.js').then((m) => m.allow),
    ban: () => import('./enrolment.js').then((m) => m.ban),
    rekey: () => import('./enrolment.js').then((m) => m.rekey),
  },
})
