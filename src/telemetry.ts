import type { ServiceConfig } from './config.js'
import type { Scheduler } from './core/engine/scheduler.js'
import type { Logger } from './lib/log.js'
import { unlessBehind } from './lib/unless-behind.js'
import { commit, version } from './lib/version.js'
import { createStandbyMetrics, type ClusterFigures } from './metrics/cluster-metrics.js'
import type { DoorFigures } from './metrics/door-figures.js'
import { createMetricsServer, type MetricsServer } from './metrics/server.js'
import { createServiceMetrics, METRICS_TYPE, type ServiceMetricsParts } from './metrics/service-metrics.js'
import { createTraces } from './traces/traces.js'

export interface TelemetryParts extends Pick<Scheduler, 'call' | 'overloaded'>, Pick<ServiceMetricsParts, 'taken'> {
  settings: ServiceConfig['metrics']
  figures: DoorFigures
  /** As the owner of a cluster's work. */
  cluster?: { figures(): ClusterFigures; behind(): boolean } | undefined
  log: Logger
}

const buildOf = () => ({ version, node: process.version, commit: commit() })
const listening = (log: Logger, url: string): void => log.info({ event: 'metrics.listening', url }, `metrics at ${url}`)

/** What Prometheus is told, at the doors of the service, or at one of its own; and the traces of those who submit. */
export function createTelemetry({ settings, figures, call, overloaded, taken, cluster, log }: TelemetryParts) {
  const { enabled, host, port } = settings
  const traces = createTraces({ call, log })
  const metrics = enabled
    ? createServiceMetrics({
        doors: figures,
        overloaded,
        untraced: traces.left,
        taken,
        build: buildOf(),
        cluster: cluster?.figures ?? null,
      })
    : null
  const server =
    metrics === null || port === undefined
      ? null
      : createMetricsServer({
          host,
          port,
          type: METRICS_TYPE,
          async text() {
            const ask = () => call({ op: 'metricsOfCore' })
            const found = cluster === undefined ? await ask() : await unlessBehind(ask, cluster.behind)
            if (found === null) return metrics.text(null)
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
      if (url !== undefined) listening(log, url)
    },
    /** Tasks of traces have ended. */
    traced: traces.ended,
    async stop(): Promise<void> {
      await traces.stop()
      await server?.stop()
    },
  }
}

/** What Prometheus is told while a coordinator of a cluster does not own the work: at a port of its own, or not at all. */
export function createStandbyTelemetry({
  settings: { enabled, host, port },
  figures,
  log,
}: Pick<TelemetryParts, 'settings' | 'log'> & { figures(): ClusterFigures }) {
  const metrics = enabled && port !== undefined ? createStandbyMetrics(figures, buildOf()) : null
  let server: MetricsServer | null = null
  return {
    /** Does nothing where it is open. Rejects with a sentence where the address cannot be had. */
    async open(): Promise<void> {
      if (metrics === null || port === undefined || server !== null) return
      const made = createMetricsServer({ host, port, type: METRICS_TYPE, text: metrics.text, log })
      listening(log, await made.start())
      server = made
    },
    async close(): Promise<void> {
      const closing = server
      server = null
      await closing?.stop()
    },
  }
}
