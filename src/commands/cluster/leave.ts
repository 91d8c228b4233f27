import { defineCommand } from 'citty'
import { oneLine } from '../../lib/table.js'
import { printJson } from '../print.js'
import { refuseMore } from '../service-call.js'
import { clusterArgs, clusterConfig } from './settings.js'

export default defineCommand({
  meta: {
    name: 'leave',
    description: 'Have the owner of the work give it up to a coordinator that follows, and wait until that has it',
  },
  args: {
    coordinator: {
      type: 'string',
      description: 'The name of the coordinator that leaves. Default: that of the configuration',
      valueHint: 'NAME',
    },
    ...clusterArgs,
  },
  async run({ args }) {
    refuseMore(args._, 0)
    const config = clusterConfig(args)
    const coordinator = args.coordinator ?? config.coordinator
    const { leaveOwnership } = await import('../../cluster/leave.js')
    const { url, epoch, ...next } = await leaveOwnership(config.cluster, coordinator)
    if (args.json === true)
      return printJson({ cluster: config.cluster.name, left: coordinator, owner: next.coordinator, url, epoch })
    console.log(oneLine(`${next.coordinator} (${url}) owns the work now; ${coordinator} follows, and can be stopped`))
  },
})
