import { defineCommand } from 'citty'
import type { ClusterStatus } from '../../cluster/status.js'
import { oneLine, table } from '../../lib/table.js'
import { printFacts, printJson, printLines } from '../print.js'
import { refuseMore } from '../service-call.js'
import { clusterArgs, clusterConfig } from './settings.js'

export default defineCommand({
  meta: {
    name: 'status',
    description:
      'Show the coordinators of a cluster and its log; the exit code is 1 when none owns the work or something is wrong',
  },
  args: clusterArgs,
  async run({ args }) {
    refuseMore(args._, 0)
    const { cluster } = clusterConfig(args)
    const { clusterStatus } = await import('../../cluster/status.js')
    const status = await clusterStatus(cluster)
    if (!status.ok) process.exitCode = 1
    if (args.json === true) return printJson(status)
    print(status)
  },
})

function print({ coordinators, servers, journal, problems }: ClusterStatus): void {
  if (coordinators.length > 0) {
    const rows = coordinators.map((c) => [
      c.coordinator,
      c.leaving ? `${c.role}, leaving` : c.role,
      c.url,
      c.record,
      c.behind_records,
    ])
    printLines([...table(['coordinator', 'role', 'url', 'record', 'behind'], rows), ''])
  }
  printFacts([
    ['log servers', servers.length === 0 ? null : servers.join(', ')],
    ['journal', journal === null ? null : `${journal.stream}, ${sizeOf(journal)}`],
    ['messages', journal === null || journal.last === 0 ? null : `${journal.first} to ${journal.last}`],
    ['newest record', journal?.record == null ? null : `${journal.record}, of epoch ${journal.epoch}`],
    [
      'on',
      journal === null ? null : journal.servers.map((s) => (s === journal.leader ? `${s} (leads)` : s)).join(', '),
    ],
  ])
  if (problems.length > 0) printLines(['', ...problems.map((problem) => `WRONG  ${oneLine(problem)}`)])
}

const sizeOf = ({ bytes, max_bytes }: NonNullable<ClusterStatus['journal']>): string =>
  max_bytes === null ? `${bytes} bytes` : `${bytes} of ${max_bytes} bytes`
