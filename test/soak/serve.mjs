// The service of the soak test: as anybody runs it, with short times, and it tells its parent what it holds.
import { createCoordinator, inferenceDefaults } from '../../dist/coordinator.js'
import { silentLog } from '../../dist/lib/log.js'

const settings = inferenceDefaults({ api_port: 0, ...JSON.parse(process.argv[2] ?? '{}') })
const coordinator = createCoordinator({ settings, log: silentLog() })
const { url } = await coordinator.listen()
process.on('message', (message) => {
  if (message === 'stop') return void coordinator.stop().then(() => process.exit(0))
  globalThis.gc?.()
  const resources = {}
  for (const kind of process.getActiveResourcesInfo()) resources[kind] = (resources[kind] ?? 0) + 1
  const { rss, heapUsed } = process.memoryUsage()
  process.send?.({ rss, heapUsed, timers: resources.Timeout ?? 0, resources })
})
process.send?.({ url })
