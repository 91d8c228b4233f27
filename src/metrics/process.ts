import { collectDefaultMetrics, Registry } from 'prom-client'

/** Those that promtool takes: the gauges that end in `_total`, and some that grow with the runtime, are left out. */
const KEPT = /^(?:process_|nodejs_eventloop_lag_|nodejs_gc_)/

let registry: Registry | null = null

/** What is known of the process. Of all services and nodes in it together: what it measures with is never taken back. */
export function processMetrics(): Registry {
  if (registry !== null) return registry
  registry = new Registry()
  collectDefaultMetrics({ register: registry })
  for (const { name } of registry.getMetricsAsArray()) if (!KEPT.test(name)) registry.removeSingleMetric(name)
  return registry
}
