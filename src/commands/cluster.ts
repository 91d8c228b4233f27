import { defineCommand } from 'citty'

export default defineCommand({
  meta: {
    name: 'cluster',
    description: 'Make, look at and mend a cluster: several coordinators, of which one owns the work',
  },
  // Each is loaded only when it is called: to mend takes the store, which to look at does not.
  subCommands: {
    init: () => import('./cluster/init.js').then((m) => m.default),
    status: () => import('./cluster/status.js').then((m) => m.default),
    leave: () => import('./cluster/leave.js').then((m) => m.default),
    verify: () => import('./cluster/verify.js').then((m) => m.default),
    rebuild: () => import('./cluster/rebuild.js').then((m) => m.default),
  },
})
