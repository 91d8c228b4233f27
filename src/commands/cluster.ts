import { defineCommand } from 'citty'
import init from './cluster/init.js'
import leave from './cluster/leave.js'
import rebuild from './cluster/rebuild.js'
import status from './cluster/status.js'
import verify from './cluster/verify.js'

export default defineCommand({
  meta: {
    name: 'cluster',
    description: 'Make, look at and mend a cluster: several coordinators, of which one owns the work',
  },
  subCommands: { init, status, leave, verify, rebuild },
})
