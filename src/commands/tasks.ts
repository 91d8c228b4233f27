import { defineCommand } from 'citty'
import * as v from 'valibot'
import { oneLine } from '../lib/table.js'
import { printJson } from './print.js'
import { refuseMore, serviceArgs, serviceAt } from './service-call.js'
import { pathOf, taskId } from './tasks/task-call.js'

const order = (name: 'cancel' | 'retry', description: string, done: string) =>
  defineCommand({
    meta: { name, description },
    args: { ...taskId, ...serviceArgs },
    async run({ args }) {
      refuseMore(args._, 1)
      const said = await serviceAt(args).order('POST', `${pathOf(args.id)}/${name}`, v.string())
      if (args.json === true) printJson(said)
      else console.log(`${oneLine(args.id)}: ${done}`)
    },
  })

export default defineCommand({
  meta: { name: 'tasks', description: 'Look at the tasks of a running service, submit, watch, cancel and retry them' },
  // Each is loaded only when it is called: to watch or to encrypt takes much that to list does not.
  subCommands: {
    list: () => import('./tasks/list.js').then((m) => m.default),
    show: () => import('./tasks/show.js').then((m) => m.default),
    watch: () => import('./tasks/watch.js').then((m) => m.default),
    cancel: order('cancel', 'Cancel a task that waits or is worked on', 'cancelled'),
    retry: order('retry', 'Open a task again that has failed or timed out', 'queued again'),
    submit: () => import('./tasks/submit.js').then((m) => m.default),
    callbacks: () => import('./tasks/callbacks.js').then((m) => m.default),
  },
})
