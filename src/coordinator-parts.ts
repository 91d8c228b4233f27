import type { ServiceConfig } from './config.js'
import type { CommitPoint } from './core/engine/open-core.js'
import type { CoreRunner } from './core/engine/runner.js'
import type { TimeSource } from './lib/clock.js'
import type { Logger } from './lib/log.js'
import type { ClusterFigures } from './metrics/cluster-metrics.js'
import type { ClusterReport } from './wire/service-answers.js'

export interface Coordinator {
  /** Starts to serve. `observer`: where blocks are announced. @throws ListenError; ConfigError where anybody would be let in, and nobody has said that this is meant */
  listen(): Promise<{ host: string; port: number; url: string; observer: { host: string; port: number } | null }>
  /**
   * Stops in order: refuses what is new, tells the nodes, takes results until none holds a task or the time is over
   * (`cut` ends the wait), closes sessions, server and database. Leases stay: they are durable.
   * `reconnectTo`: the URL of the coordinator where sessions go on; those that know it leave for it at once.
   */
  stop(cut?: AbortSignal, how?: { reconnectTo?: string }): Promise<void>
}

export interface CoordinatorParts {
  settings: ServiceConfig['inference']
  /** Whose key clients may encrypt their texts for, and on which network wallets sign in; without it nothing is encrypted, and it is testnet. */
  signer?: ServiceConfig['signer'] | undefined
  /** How the chain is looked at, which needs a signer; without it, it is not. */
  chain?: ServiceConfig['chain']
  /** How the ends of tasks are told to those who ask for it; without it they are not. */
  callbacks?: ServiceConfig['callbacks']
  /** How requests of clients of OpenAI's API become tasks. */
  openai?: ServiceConfig['openai'] | undefined
  /** Whether there is a page for those who watch. */
  dashboard?: ServiceConfig['dashboard']
  /** What Prometheus reads. */
  metrics?: ServiceConfig['metrics'] | undefined
  log: Logger
  time?: TimeSource
  /** Whether it may be open to others without a token. */
  insecure?: boolean
  /** Whether it may be reached by others without TLS. */
  plainHttp?: boolean
  /** Told where a commit is: for tests that end the process just there. */
  onCommitPoint?: ((point: CommitPoint) => void) | undefined
  /** The same for a core in a thread, which no function can be given to. */
  commitPoints?: { module: string; argument: unknown } | undefined
  /** How often it is looked whether the certificate has changed, ms. */
  certificateInterval?: number
  /** As the owner of a cluster's work. */
  ownership?: Ownership | undefined
}

/** What makes of a coordinator the owner of a cluster's work. */
export interface Ownership {
  epoch: number
  /** A core whose turns are told to nobody before they are in the log. */
  durable(runner: CoreRunner): CoreRunner & { behind(): boolean }
  /** How it stands in its cluster. */
  cluster: {
    report(): ClusterReport
    /** For Prometheus. */
    figures(): ClusterFigures
    /** Whether the log does not store what turns have written: they and all after them wait. */
    behind(): boolean
  }
}
