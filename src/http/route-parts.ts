import type { Network } from '../chain/address.js'
import type { SubmissionOpener } from '../chain/encrypted-submissions.js'
import type { ReceiptSigner } from '../chain/receipts.js'
import type { SubmissionStep } from '../chain/preparation.js'
import type { Scheduler } from '../core/engine/scheduler.js'
import type { CoreMetrics } from '../core/watching/reports.js'
import type { FeedHub } from '../door/feed-hub.js'
import type { SignIn } from '../door/sign-in.js'
import type { Watchers } from '../door/watchers.js'
import type { Verifications } from '../door/verifications.js'
import type { Who } from '../door/who.js'
import type { Logger } from '../lib/log.js'
import type { ClusterReport } from '../wire/service-answers.js'
import type { ConfigurationView } from '../wire/watch-answers.js'
import type { BodyLimitParts, BodyLimits } from './body-limits.js'
import type { Dashboard } from './dashboard.js'
import type { ReadGate } from './read-gate.js'
import type { Ask } from './routes.js'
import type { Preparation } from './submissions.js'
import type { SignedCalls } from './signed-calls.js'

/** How requests of clients of OpenAI's API become tasks. Times in ms, but `maxInferTime`, seconds. */
export interface OpenAiSettings {
  /** For whom, where the token does not say it. */
  userAddress: string
  /** Micro-STX. */
  inferFee: number
  maxInferTime: number
  maxWait: number
  queueUnknownModels: boolean
}

export interface AppParts extends BodyLimitParts {
  openai: OpenAiSettings
  call: Scheduler['call']
  log: Pick<Logger, 'error'>
  /** What is published about the session protocol. */
  asyncapi: object
  wall: () => number
  /** Who decrypts what is submitted encrypted; null where nothing can be. */
  opener?: Pick<SubmissionOpener, 'publicKey' | 'address'> | null
  /** Who signs receipts of results; null where nobody can. */
  receipts?: ReceiptSigner | null
  /** The chain that is looked at; null where none is. */
  chain?: { network: Network } | null
  /** What is done with submissions before the core sees them; null: nothing. */
  prepare?: SubmissionStep | null
  /** Whether who shows no token may submit. */
  anonymousSubmit?: boolean
  who: Who
  /** Told of each entry of a batch that was refused alone. */
  refusedSubmission?: (code: string) => void
  /** What Prometheus reads, and its media type; null where nothing is told. */
  metrics?: { type: string; text(core: CoreMetrics): Promise<string> } | null
  /** How the service is set up. */
  configuration: ConfigurationView
  watchers: Watchers
  feed: FeedHub
  verify: Verifications
  signIn: SignIn
  /** The names under which the service is reached. */
  publicHosts: readonly string[]
  /** The page for those who watch; null or absent where it is switched off. */
  dashboard?: Dashboard | null
  /** How it stands in its cluster; `behind`: the log does not store what turns have written. Absent where it is in none. */
  cluster?: { report(): ClusterReport; behind(): boolean } | undefined
  /** What an operator should look at, beside what the core says, as a sentence. */
  warning?: () => string | null
}

/** What the routes have in common. */
export interface RouteParts extends AppParts {
  ask: Ask
  gate: ReadGate
  limits: BodyLimits
  signed: SignedCalls
  preparation: Preparation
}
