import { defineCommand } from 'citty'
import * as v from 'valibot'
import { RestError } from '../lib/rest-client.js'
import { oneLine } from '../lib/table.js'
import { printJson } from './print.js'
import { refuseMore, serviceArgs, serviceAt } from './service-call.js'

/** Who asks whether the service lives will not wait for long, ms. */
const TIMEOUT_MS = 5000

// What a service answers may hold more than this version knows: it is kept for --json.
const healthSchema = v.looseObject({ status: v.literal('healthy'), warning: v.optional(v.string()) })

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
    if (args.json === true) printJson(health)
    else console.log(health.warning === undefined ? 'healthy' : `healthy, but: ${oneLine(health.warning)}`)
  },
})
