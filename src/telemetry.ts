import type { ServiceConfig } from './config.js'
import type { Scheduler } from './core/engine/scheduler.js'
import type { Logger } from './lib/log.js'
import { commit, version } from './lib/version.js'
import type { DoorFigures } from './metrics/door-figures.js'
import { createMetricsServer } from './metrics/server.js'
import { createServiceMetrics, METRICS_TYPE, type ServiceMetricsParts } from './metrics/service-metrics.js'
import { createTraces } from './traces/traces.js'

export interface TelemetryParts extends Pick<Scheduler, 'call' | 'overloaded'>, Pick<ServiceMetricsParts, 'taken'> {
  settings: ServiceConfig['metrics']
  figures: DoorFigures
  log: Logger
}

/** What Prometheus is told, at the doors of the service, or at one of its own; and the traces of those who submit. */
export function createTelemetry({ settings, figures, call, overloaded, taken, log }: TelemetryParts) {
  const { enabled, host, port } = settings
  const traces = createTraces({ call, log })
  const build = { version, node: process.version, commit: commit() }
  const metrics = enabled
    ? createServiceMetrics({ doors: figures, overloaded, untraced: traces.left, taken, build })
    : null
  const server =
    metrics === null || port === undefined
      ? null
      : createMetricsServer({
          host,
          port,
          type: METRICS_TYPE,
          async text() {
            const found = await call({ op: 'metricsOfCore' })
            return found.ok ? metrics.text(found.value) : null
          },
          log,
        })
  return {
    /** For the route of the service; null: nothing is told. */
    metrics: metrics === null ? null : { type: METRICS_TYPE, text: metrics.text },
    /** Rejects with a sentence where the address cannot be had. */
    async start(): Promise<void> {
      await traces.start()
      const url = await server?.start()
      if (url !== undefined) log.info({ event: 'metrics.listening', url }, `metrics at ${url}`)
    },
    /** Tasks of traces have ended. */
    traced: traces.ended,
    async stop(): Promise<void> {
      await traces.stop()
      await server?.stop()
    },
  }
}
