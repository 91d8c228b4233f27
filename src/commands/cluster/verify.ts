import { defineCommand } from 'citty'
import { oneLine } from '../../lib/table.js'
import { printFacts, printJson, printLines } from '../print.js'
import { refuseMore } from '../service-call.js'
import { clusterArgs, clusterConfig, databaseArg } from './settings.js'

export default defineCommand({
  meta: {
    name: 'verify',
    description:
      'Read the whole journal and compare it with the records that a database keeps; the exit code is 1 when something is wrong',
  },
  args: { ...databaseArg, ...clusterArgs },
  async run({ args }) {
    refuseMore(args._, 0)
    const { cluster, database } = clusterConfig(args)
    const { verifyLog } = await import('../../cluster/verify-log.js')
    const { findings, more, ...figures } = await verifyLog(cluster, database)
    const ok = findings.length === 0
    if (!ok) process.exitCode = 1
    if (args.json === true) return printJson({ ok, database, ...figures, findings, more })
    const { first, last } = figures
    printFacts([
      ['messages', figures.messages],
      ['bytes', figures.bytes],
      ['records', first === null || last === null ? 0 : `${figures.records}, from ${first.n} to ${last.n}`],
      ['fences', figures.fences],
      ['epochs', first === null || last === null ? null : `${first.epoch} to ${last.epoch}`],
      ['unfinished', figures.unfinished],
      ['compared', `${figures.compared} with ${database}`],
    ])
    if (more > 0) findings.push(`and ${more} more`)
    printLines(['', ...(ok ? ['ok  the journal is as it was written'] : findings.map((f) => `WRONG  ${oneLine(f)}`))])
  },
})
