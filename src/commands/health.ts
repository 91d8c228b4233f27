import { defineCommand } from 'citty'
import * as v from 'valibot'
import { RestError } from '../lib/rest-client.js'
import { oneLine } from '../lib/table.js'
import { clusterView, type ClusterReport } from '../wire/service-answers.js'
import { printJson } from './print.js'
import { refuseMore, serviceArgs, serviceAt } from './service-call.js'

/** Who asks whether the service lives will not wait for long, ms. */
const TIMEOUT_MS = 5000

// What a service answers may hold more than this version knows: it is kept for --json.
const healthSchema = v.looseObject({
  status: v.literal('healthy'),
  warning: v.optional(v.string()),
  cluster: v.optional(v.looseObject(clusterView.entries)),
})

/** One line: who owns the work, and who follows how far. */
function clusterLine({ coordinator, epoch, record, followers }: ClusterReport): string {
  const lags = followers.map(({ coordinator: name, behind_records, behind_ms }) => {
    const lag =
      behind_records === 0 ? 'level' : `${behind_records} records and ${(behind_ms / 1000).toFixed(1)} s behind`
    return `${name} (${lag})`
  })
  const whoFollows = lags.length === 0 ? 'nobody follows' : `followed by ${lags.join(', ')}`
  return `cluster: ${coordinator} owns the work (epoch ${epoch}, record ${record}), ${whoFollows}`
}

export default defineCommand({
  meta: { name: 'health', description: 'Say whether the service is healthy; the exit code is 1 when it is not' },
  args: serviceArgs,
  async run({ args }) {
    refuseMore(args._, 0)
    const service = serviceAt(args, TIMEOUT_MS)
    let health: v.InferOutput<typeof healthSchema>
    try {
      health = await service.get('/health', healthSchema)
    } catch (error) {
      if (!(error instanceof RestError)) throw error
      process.exitCode = 1
      if (args.json === true) printJson({ status: 'unhealthy', error: error.message })
      else console.log(`unhealthy: ${oneLine(error.message)}`)
      return
    }
    if (args.json === true) return printJson(health)
    console.log(health.warning === undefined ? 'healthy' : `healthy, but: ${oneLine(health.warning)}`)
    if (health.cluster !== undefined) console.log(oneLine(clusterLine(health.cluster)))
  },
})
