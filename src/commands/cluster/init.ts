import { defineCommand } from 'citty'
import { refuseMore } from '../service-call.js'
import { printJson } from '../print.js'
import { clusterArgs, clusterConfig, maxBytesArg, maxBytesFlag, naming } from './settings.js'

export default defineCommand({
  meta: {
    name: 'init',
    description: 'Make the journal of a cluster in its log, once; one that is there stays as it is',
  },
  args: { ...clusterArgs, ...maxBytesArg },
  async run({ args }) {
    refuseMore(args._, 0)
    const { cluster } = clusterConfig(args)
    const maxBytes = maxBytesFlag(args['max-bytes'])
    const { initJournal } = await import('../../cluster/nats.js')
    const { id, created } = await naming(initJournal(cluster, maxBytes === undefined ? {} : { maxBytes }))
    if (args.json === true) return printJson({ cluster: cluster.name, journal_id: id, created })
    console.log(
      created
        ? `The journal of the cluster ${cluster.name} is made (${id}). Start the coordinator whose database it begins with, then the others: stacks-signer run-inference-service`
        : `The journal of the cluster ${cluster.name} was there already (${id}), and stays as it is. How it stands: stacks-signer cluster status`,
    )
  },
})
