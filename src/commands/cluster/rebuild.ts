import { defineCommand } from 'citty'
import { keepFilesPrivate } from '../../lib/permissions.js'
import { oneLine } from '../../lib/table.js'
import { printJson } from '../print.js'
import { refuseMore } from '../service-call.js'
import { clusterArgs, clusterConfig, databaseArg, maxBytesArg, maxBytesFlag, naming } from './settings.js'

export default defineCommand({
  meta: {
    name: 'rebuild',
    description: 'Make a new journal of a database, for one that is gone or has lost records; no coordinator may run',
  },
  args: {
    replace: {
      type: 'boolean',
      description: 'Begin the new journal, and remove the one that is there; without this it only says what there is',
    },
    ...databaseArg,
    ...maxBytesArg,
    ...clusterArgs,
  },
  async run({ args }) {
    refuseMore(args._, 0)
    keepFilesPrivate()
    const { cluster, coordinator, database } = clusterConfig(args)
    const maxBytes = maxBytesFlag(args['max-bytes'])
    const { rebuildJournal } = await import('../../cluster/rebuild.js')
    const made = await naming(
      rebuildJournal({
        settings: cluster,
        file: database,
        coordinator,
        url: cluster.public_url,
        replace: args.replace === true,
        maxBytes,
        removing: (what) => console.error(oneLine(`Removing: ${what}.`)),
      }),
    )
    if (args.json === true) return printJson({ cluster: cluster.name, database, ...made })
    console.log(
      oneLine(
        `The journal of the cluster ${cluster.name} is made anew, and begins with ${database}. Start ${coordinator} on it first, then the others: they set their files aside, and copy this one`,
      ),
    )
  },
})
