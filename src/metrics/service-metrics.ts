import { Registry } from 'prom-client'
import type { CoreMetrics, LimitFigures, ModelMetrics } from '../core/watching/reports.js'
import { histogramBounds } from '../rules/histograms.js'
import { addClusterFamilies, type ClusterFigures } from './cluster-metrics.js'
import { doorBounds, type DoorFigures } from './door-figures.js'
import { createFamilies, type Value } from './families.js'
import type { Buckets } from './measures.js'

export const METRICS_TYPE = Registry.PROMETHEUS_CONTENT_TYPE

export interface ServiceMetricsParts {
  doors: DoorFigures
  /** Whether submissions are refused now, because too many wait. */
  overloaded(): boolean
  /** How many tasks of traces were left out of them. */
  untraced(): number
  /** How much of the limits of the doors is taken. */
  taken(): LimitFigures[]
  build: { version: string; node: string; commit: string }
  /** How it stands in its cluster; null where it is in none. */
  cluster: (() => ClusterFigures) | null
}

export type ServiceMetrics = ReturnType<typeof createServiceMetrics>

/**
 * What is counted, as Prometheus reads it. The core and the doors keep plain numbers; they are looked at when somebody scrapes, so that
 * nothing is paid for it on the way of a task. `model` is a label of core/rates/labels: at most 200 names, families and `other`.
 */
export function createServiceMetrics({ doors, overloaded, untraced, taken, build, cluster }: ServiceMetricsParts) {
  const families = createFamilies()
  const { counter, gauge, histogram } = families
  let core: CoreMetrics | null = null

  const models = <T>(read: (m: ModelMetrics) => T): (() => Value<T>[]) => {
    return () => core?.models.map((m) => [{ model: m.model }, read(m)] as const) ?? []
  }
  /** Only of models that have one: to say 0 of a queue that is not there would end every alert on it. */
  const known = (read: (m: ModelMetrics) => number | null) => (): Value[] =>
    models(read)().flatMap(([labels, value]): Value[] => (value === null ? [] : [[labels, value]]))
  const one = (read: () => number | null | undefined) => (): Value[] => {
    const value = read()
    return value == null ? [] : [[{}, value]]
  }
  const flag = (is: boolean | undefined): number | undefined => (is === undefined ? undefined : is ? 1 : 0)
  const single = (measure: Buckets) => (): Value<Buckets>[] => [[{}, measure]]

  counter('inference_tasks_submitted_total', 'Tasks that were stored', ['model'], models((m) => m.submitted)) // prettier-ignore
  counter('inference_tasks_refused_total', 'Submissions that were refused, by the code of the error', ['code'], () =>
    doors.refused.all().map(({ kind: [code], of }) => [{ code }, of.n]),
  )
  counter(
    'inference_tasks_ended_total',
    'Tasks that have reached their end',
    ['model', 'status'],
    () =>
      core?.models.flatMap(({ model, ended }) =>
        Object.entries(ended).map(([status, n]): Value => [{ model, status }, n]),
      ) ?? [],
  )
  counter(
    'inference_attempts_ended_total',
    'Attempts that have ended, how, and through whose fault; none: nobody’s',
    ['model', 'end', 'fault'],
    () =>
      core?.models.flatMap(({ model, attempts }) =>
        attempts.map(({ end, fault, count }): Value => [{ model, end, fault: fault ?? 'none' }, count]),
      ) ?? [],
  )
  gauge('inference_tasks', 'Stored tasks', ['status'], () =>
    Object.entries(core?.stats.tasks ?? {}).map(([status, n]): Value => [{ status }, n]),
  )
  gauge('inference_tasks_waiting', 'Tasks that wait for a node', ['model'], models((m) => m.waiting)) // prettier-ignore
  gauge('inference_tasks_running', 'Tasks that a node has', ['model'], models((m) => m.running)) // prettier-ignore
  gauge('inference_oldest_waiting_seconds', 'How long the oldest task has waited; 0: none waits', ['model'], known((m) => m.waiting === 0 ? 0 : m.oldest_waiting_seconds)) // prettier-ignore

  const { wait, first_word, run } = histogramBounds
  histogram('inference_task_wait_seconds', 'From the submission to the first accept', ['model'], wait, models((m) => m.wait)) // prettier-ignore
  histogram('inference_first_word_seconds', 'From the accept to the first piece of text, where somebody reads it', ['model'], first_word, models((m) => m.first_word)) // prettier-ignore
  histogram('inference_run_seconds', 'From the accept to the end of what was completed', ['model'], run, models((m) => m.run)) // prettier-ignore
  histogram(
    'inference_task_seconds',
    'From the submission to the end of a task',
    ['model'],
    run,
    models((m) => m.task),
  )
  counter(
    'inference_tokens_total',
    'Tokens of completed tasks, where nodes say how many',
    ['model', 'kind'],
    () =>
      core?.models.flatMap(({ model, prompt_tokens, completion_tokens }): Value[] => [
        [{ model, kind: 'prompt' }, prompt_tokens],
        [{ model, kind: 'completion' }, completion_tokens],
      ]) ?? [],
  )
  counter('inference_fees_microstx_total', 'The infer_fee of completed tasks, micro-STX', ['model'], models((m) => m.fees)) // prettier-ignore

  gauge(
    'inference_nodes',
    'Registered nodes',
    ['status', 'transport'],
    () => core?.nodes.map(({ status, transport, count }): Value => [{ status, transport }, count]) ?? [],
  )
  gauge(
    'inference_slots',
    'Slots of the nodes that are there; a slot counts under each model of its node',
    ['model', 'state'],
    () =>
      core?.models.flatMap(({ model, slots, free_slots }): Value[] => [
        [{ model, state: 'free' }, free_slots],
        [{ model, state: 'busy' }, slots - free_slots],
      ]) ?? [],
  )
  gauge('inference_sessions', 'Open sessions', ['kind'], () =>
    Object.entries(doors.sessions).map(([kind, n]): Value => [{ kind }, n]),
  )
  counter('inference_sessions_closed_total', 'Sessions that have ended, by their close code', ['kind', 'code'], () =>
    doors.closed.all().map(({ kind: [kind, code], of }) => [{ kind, code }, of.n]),
  )

  const requests = doors.requests
  const labelsOf = ([route, method, status]: readonly [string, string, string]) => ({ route, method, status })
  counter('inference_http_requests_total', 'Answered requests', ['route', 'method', 'status'], () =>
    requests.all().map(({ kind, of }) => [labelsOf(kind), of.buckets.reduce((a, b) => a + b, 0)]),
  )
  histogram(
    'inference_http_request_seconds',
    'From a request to the end of its answer',
    ['route', 'method', 'status'],
    doorBounds.request,
    () => requests.all().map(({ kind, of }) => [labelsOf(kind), of]),
  )
  histogram('inference_turn_seconds', 'Turns of the core', [], doorBounds.turn, single(doors.turn))
  histogram('inference_turn_operations', 'Operations of a turn', [], doorBounds.operations, single(doors.operations))
  histogram('inference_fsync_seconds', 'Commits, with their fsync', [], doorBounds.fsync, single(doors.fsync))

  gauge('inference_wal_bytes', 'The write-ahead log', [], one(() => core?.wal_bytes)) // prettier-ignore
  gauge('inference_wal_limit_bytes', 'What it may grow to before nothing more is written (max_wal_bytes)', [], one(() => core?.wal_limit_bytes)) // prettier-ignore
  gauge('inference_database_bytes', 'The database without it', [], one(() => core?.database_bytes)) // prettier-ignore
  gauge('inference_database_writable', '1: tasks can be stored', [], one(() => flag(core?.writable))) // prettier-ignore
  gauge('inference_overloaded', '1: submissions are refused because too many wait to be stored', [], one(() => flag(overloaded()))) // prettier-ignore
  gauge('inference_last_backup_timestamp_seconds', 'When the service made its newest backup; 0: none yet', [], one(() => core?.backups === null ? null : (core?.backups.last_ms ?? 0) / 1000)) // prettier-ignore
  gauge('inference_backup_interval_seconds', 'How often it is to make one', [], one(() => core?.backups === null ? null : (core?.backups.interval_ms ?? 0) / 1000)) // prettier-ignore

  const limits = (read: (of: LimitFigures) => number) => (): Value[] =>
    [...(core?.limits ?? []), ...taken()].map((of) => [{ limit: of.limit }, read(of)])
  gauge('inference_limit_used', 'How much of a limit of the whole service is taken', ['limit'], limits(({ used }) => used)) // prettier-ignore
  gauge('inference_limit', 'The most that may be taken of it', ['limit'], limits(({ most }) => most)) // prettier-ignore
  counter(
    'inference_connections_refused_total',
    'Connections that were closed before anything was read, by whose limit it was',
    ['limit'],
    () => doors.connections.all().map(({ kind: [limit], of }) => [{ limit }, of.n]),
  )

  counter('inference_callbacks_total', 'Tries to call back', ['outcome'], () =>
    doors.callbacks.all().map(({ kind: [outcome], of }) => [{ outcome }, of.n]),
  )
  gauge('inference_callbacks_waiting', 'Callbacks that are to be sent', [], one(() => core?.stats.callbacks?.pending)) // prettier-ignore
  counter('inference_traces_dropped_total', 'Tasks of traces that could not be told to the tracer', [], one(untraced)) // prettier-ignore
  gauge('inference_build_info', 'What runs', ['version', 'node', 'commit'], () => [[build, 1]])
  if (cluster !== null) addClusterFamilies({ counter, gauge, histogram }, cluster)

  let running: Promise<string> | null = null
  return {
    /**
     * Whoever asks while a text is made gets that one.
     * @param now what the core has just said; null: it does not answer now, and the rest is told
     */
    text(now: CoreMetrics | null): Promise<string> {
      if (running !== null) return running
      core = now
      running = families.text().finally(() => {
        core = null
        running = null
      })
      return running
    },
  }
}
