import { Registry } from 'prom-client'
import type { InferenceNode, NodeEvent } from '../inference-node/index.js'
import { ConfigError } from '../lib/config-error.js'
import type { Logger } from '../lib/log.js'
import { version } from '../lib/version.js'
import { histogramBounds } from '../rules/histograms.js'
import { createFamilies } from './families.js'
import { createKinds, createMeasure } from './measures.js'
import { createMetricsServer } from './server.js'

/** The names of the series of a node. */
export const nodeMetricNames = [
  'inference_node_tasks_total',
  'inference_node_seconds_bucket',
  'inference_node_seconds_sum',
  'inference_node_seconds_count',
  'inference_node_tokens_total',
  'inference_node_running',
  'inference_node_backend_up',
  'inference_node_session_up',
  'inference_node_unsettled',
  'inference_node_build_info',
] as const

export type NodeMetrics = ReturnType<typeof createNodeMetrics>

/** What Prometheus reads of a node: counted from its events. */
export function createNodeMetrics() {
  const families = createFamilies()
  const { counter, gauge, histogram } = families
  const ends = createKinds<[end: string], { n: number }>(() => ({ n: 0 }))
  const seconds = createMeasure(histogramBounds.run)
  let tokens = 0
  /** What it works on: no more than it has slots. */
  const running = new Set<string>()
  let isUp = true
  let node: Pick<InferenceNode, 'connected' | 'unsettled'> | null = null

  const nameOf = ({ task_id, attempt }: { task_id: string; attempt: number }): string => `${task_id}/${attempt}`
  const end = (how: string, attempt: { task_id: string; attempt: number }, took: number | null = null): void => {
    ends.of(how).n++
    running.delete(nameOf(attempt))
    if (took !== null) seconds.observe(took)
  }

  counter('inference_node_tasks_total', 'Attempts that have ended here', ['end'], () =>
    ends.all().map(({ kind: [how], of }) => [{ end: how }, of.n]),
  )
  histogram('inference_node_seconds', 'How long completed and failed attempts took', [], histogramBounds.run, () => [
    [{}, seconds],
  ])
  counter('inference_node_tokens_total', 'Completion tokens, where the model server says how many', [], () => [
    [{}, tokens],
  ])
  gauge('inference_node_running', 'Attempts that it works on', [], () => [[{}, running.size]])
  gauge('inference_node_backend_up', '1: the model server can work', [], () => [[{}, isUp ? 1 : 0]])
  gauge('inference_node_session_up', '1: it has a session with its coordinator', [], () => [
    [{}, node?.connected === true ? 1 : 0],
  ])
  gauge('inference_node_unsettled', 'Results that the coordinator has not settled yet', [], () => [
    [{}, node?.unsettled ?? 0],
  ])
  gauge('inference_node_build_info', 'What runs', ['version', 'node'], () => [[{ version, node: process.version }, 1]])

  return {
    onEvent(event: NodeEvent): void {
      switch (event.type) {
        case 'assigned':
          running.add(nameOf(event))
          break
        case 'completed':
          tokens += event.completion_tokens ?? 0
          end('completed', event, event.seconds)
          break
        case 'failed':
          end('failed', event, event.seconds)
          break
        case 'cancelled':
          end('cancelled', event)
          break
        case 'rejected':
          end('rejected', event)
          break
        case 'status':
          isUp = event.status === 'online'
          break
        default:
      }
    },
    text: families.text,

    /** @throws ConfigError where the address cannot be had */
    async serve(
      of: Pick<InferenceNode, 'connected' | 'unsettled'>,
      { metrics_host, metrics_port = 0 }: { metrics_host: string; metrics_port?: number | undefined },
      log: Logger,
    ): Promise<{ stop(): Promise<void> }> {
      node = of
      const server = createMetricsServer({
        host: metrics_host,
        port: metrics_port,
        type: Registry.PROMETHEUS_CONTENT_TYPE,
        text: this.text,
        log,
      })
      const url = await server.start().catch((error: unknown) => {
        throw new ConfigError(error instanceof Error ? error.message : String(error))
      })
      log.info({ event: 'node.metrics', url }, `metrics at ${url}`)
      return server
    },
  }
}
