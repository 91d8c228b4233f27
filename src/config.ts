import { dirname, join } from 'node:path'
import * as v from 'valibot'
import {
  alertSettings,
  authSettings,
  callbackSettings,
  chainSettings,
  clusterSettings,
  dashboardSettings,
  metricsSettings,
  openAiSettings,
} from './config-sections.js'
import {
  DAY_SECONDS,
  fileSchema,
  inferenceSections,
  inferenceSettings,
  signerSettings,
  type FileSettings,
} from './config-schema.js'
import { ConfigError } from './lib/config-error.js'
import type { SettlementSettings } from './settlement/service.js'
import type { ChainOptions, CoreOptions } from './core/context.js'
import { describeSettings, parseSettings, readToml, type SettingDoc } from './lib/settings.js'
import { reachedByOthers } from './rules/access-mode.js'
import type { Family } from './rules/models.js'

/** Everything an operator has set, resolved: a flag beats the file, the file beats the default. */
export interface ServiceConfig {
  signer: FileSettings['signer']
  /** Absent: the service does not look at the chain. */
  chain?: FileSettings['chain']
  /** Absent: the service sends no callbacks. */
  callbacks?: FileSettings['callbacks']
  openai: FileSettings['openai']
  dashboard: FileSettings['dashboard']
  metrics: FileSettings['metrics']
  inference: FileSettings['inference'] & { database_path: string }
}

/** Flags of the command line; undefined where they were not given. */
export interface ServiceFlags {
  database?: string | undefined
  apiPort?: string | undefined
  apiHost?: string | undefined
}

/** @throws ConfigError one line that names the file, the key and what was expected */
export function loadServiceConfig(file: string, flags: ServiceFlags): ServiceConfig {
  const config = parseSettings(fileSchema, readToml(file), file)
  const given = parseSettings(
    v.object({
      database_path: inferenceSettings.entries.database_path,
      api_port: v.optional(inferenceSettings.entries.api_port),
      api_host: v.optional(inferenceSettings.entries.api_host),
    }),
    {
      database_path: flags.database,
      api_port: flags.apiPort === undefined ? config.inference.api_port : toNumber(flags.apiPort),
      api_host: flags.apiHost ?? config.inference.api_host,
    },
    'command line',
  )
  const database_path =
    given.database_path ?? config.inference.database_path ?? join(dirname(file), 'inference_tasks.db')
  return {
    signer: config.signer,
    chain: config.chain,
    callbacks: config.callbacks,
    openai: config.openai,
    dashboard: config.dashboard,
    metrics: config.metrics,
    inference: Object.freeze({ ...config.inference, ...given, database_path }),
  }
}

/** The settings of a service that is embedded, in a test or a demo: the defaults, and what is given. */
export function inferenceDefaults(
  given: Partial<FileSettings['inference']> & { database_path: string },
): ServiceConfig['inference'] {
  return {
    ...parseSettings(v.strictObject({ ...inferenceSettings.entries, ...inferenceSections }), given, 'settings'),
    database_path: given.database_path,
  }
}

const toNumber = (text: string): number | string => (/^\d+$/.test(text) ? Number(text) : text)
const ms = (s: number): number => Math.round(s * 1000)

/** The part of the settings that the core works by, in its units. */
export function coreOptions(
  i: ServiceConfig['inference'],
  chain: ChainOptions | null = null,
  callbacks = false,
): CoreOptions {
  return {
    chain,
    callbacks,
    heartbeatInterval: ms(i.heartbeat_interval),
    acceptTimeout: ms(i.accept_timeout),
    reconnectGrace: ms(i.reconnect_grace),
    restartGrace: ms(i.restart_grace),
    nodeTimeout: ms(i.node_timeout),
    starvationAfter: ms(i.starvation_after),
    maxQueueTime: ms(i.max_queue_time),
    maxAttempts: i.max_attempts,
    timeoutAttempts: i.timeout_attempts,
    maxPendingTasks: i.max_pending_tasks,
    maxPendingPerUser: i.max_pending_per_user,
    maxNodes: i.max_nodes,
    maxNodeSlots: i.max_node_slots,
    maxNewNodesPerHour: i.max_new_nodes_per_hour,
    maxInferTimeLimit: i.max_infer_time_limit,
    maxMessageBytes: i.max_message_bytes,
    maxOutputBytes: i.max_output_bytes,
    retention: ms(i.retention_days * DAY_SECONDS),
    maxWalBytes: i.max_wal_bytes,
    access: {
      mode: i.auth.mode,
      anonymousSubmit: i.auth.anonymous_submit,
      publicStats: i.auth.public_stats,
      enrolment: enrolmentOf(i),
      probationMaxFee: i.auth.probation_max_fee,
    },
    alerts: {
      failureFactor: i.alerts.failure_factor,
      failureAttempts: i.alerts.failure_attempts,
      maxTokensPerSecond: i.alerts.max_tokens_per_second,
      minAnswerMs: i.alerts.min_answer_ms,
      quickAnswers: i.alerts.quick_answers,
      emptyShare: i.alerts.empty_share,
      sameOutputShare: i.alerts.same_output_share,
      hoardedAttempts: i.alerts.hoarded_attempts,
      hoardedShare: i.alerts.hoarded_share,
      concentration: i.alerts.concentration,
      authFailures: i.alerts.auth_failures,
      authFailuresPerAddress: i.alerts.auth_failures_per_address,
      feeFactor: i.alerts.fee_factor,
      surgeFactor: i.alerts.surge_factor,
      operatorActions: i.alerts.operator_actions,
      serverErrors: i.alerts.server_errors,
    },
  }
}

/** The part of `[chain]` that the core works by; null where there is none. */
export const chainOptions = (
  chain: ServiceConfig['chain'],
  signer: ServiceConfig['signer'] | undefined,
): ChainOptions | null =>
  chain === undefined
    ? null
    : {
        network: signer?.network ?? 'testnet',
        requireSignedTx: chain.require_signed_tx,
        confirmations: chain.confirmations,
        giveSignedTxToPollingNodes: chain.give_signed_tx_to_polling_nodes,
        stakeRequired: chain.stake_required,
        stakeFactor: chain.stake_factor,
        stakeTtl: ms(chain.stake_ttl),
        pollInterval: ms(chain.poll_interval),
        warnAfter: ms(chain.warn_after),
        observed: chain.event_observer !== undefined,
      }

/**
 * The part of `[chain]` that what posts and checks payments works by; null where there is none.
 * @throws ConfigError where nothing says which network it is
 */
export function settlementSettings(
  chain: ServiceConfig['chain'],
  signer: ServiceConfig['signer'] | undefined,
): SettlementSettings | null {
  if (chain === undefined) return null
  if (signer === undefined) throw new ConfigError('[chain] needs [signer], which says which network it is')
  const at = chain.event_observer?.lastIndexOf(':') ?? -1
  return {
    network: signer.network,
    endpoint: chain.miner_endpoint ?? signer.endpoint,
    requestTimeout: ms(chain.request_timeout),
    pollInterval: ms(chain.poll_interval),
    checkBalance: chain.check_balance,
    stakes: chain.stake_required
      ? {
          bootAddress: chain.boot_address ?? null,
          interval: Math.min(ms(chain.poll_interval), ms(chain.stake_ttl) / 4),
        }
      : null,
    observer:
      chain.event_observer === undefined
        ? null
        : {
            host: chain.event_observer.slice(0, at).replace(/^\[|\]$/g, ''),
            port: Number(chain.event_observer.slice(at + 1)),
            allow: chain.event_observer_allow,
            submissionsFrom: chain.submissions_from,
          },
  }
}

/** The settings of the chain for a service that is embedded: the defaults, and what is given. */
export const chainDefaults = (given: Partial<NonNullable<FileSettings['chain']>>): NonNullable<FileSettings['chain']> =>
  parseSettings(v.strictObject(chainSettings.entries), given, 'settings')

/** `[openai]` as its door works by it. @param signer the address of the service's own key, where it has one */
export const openAiOptions = (o: FileSettings['openai'], signer: string | undefined) => ({
  userAddress: o.user_address ?? signer ?? 'anonymous',
  inferFee: o.infer_fee,
  maxInferTime: o.max_infer_time,
  maxWait: ms(o.max_wait),
  queueUnknownModels: o.queue_unknown_models,
})

/** The same of `[openai]`. */
export const openAiDefaults = (given: Partial<FileSettings['openai']> = {}): FileSettings['openai'] =>
  parseSettings(openAiSettings, given, 'settings')

/** The same of `[metrics]`. */
export const metricsDefaults = (given: Partial<FileSettings['metrics']> = {}): FileSettings['metrics'] =>
  parseSettings(metricsSettings, given, 'settings')

/** What sessions may take. */
export const sessionLimits = (i: ServiceConfig['inference']) => ({
  maxMessageBytes: i.max_message_bytes,
  maxMessagesPerSecond: i.max_messages_per_second,
  maxHandshakes: i.max_handshakes,
  maxHandshakesPerAddress: i.max_handshakes_per_address,
  maxSessions: i.max_sessions,
  maxSessionsPerAddress: i.max_sessions_per_address,
  maxUpgradesPerSecond: i.max_upgrades_per_second,
})

const isReachedByOthers = (i: ServiceConfig['inference']): boolean =>
  reachedByOthers({ host: i.api_host, publicHosts: i.public_hosts, trustedProxies: i.trusted_proxies }) !== null

/** Which keys of nodes are let in. */
export const enrolmentOf = (i: ServiceConfig['inference']) =>
  i.auth.enrolment ?? (isReachedByOthers(i) ? 'invite' : 'open')

export const familiesOf = (i: ServiceConfig['inference']): Family[] => Object.entries(i.families)

/** Every key of the configuration file, for the documentation. */
export const describeServiceConfig = (): SettingDoc[] => [
  ...describeSettings({
    signer: signerSettings,
    chain: chainSettings,
    callbacks: callbackSettings,
    openai: openAiSettings,
    dashboard: dashboardSettings,
    metrics: metricsSettings,
    inference: inferenceSettings,
    'inference.auth': authSettings,
    'inference.alerts': alertSettings,
    'inference.cluster': clusterSettings,
  }),
  {
    key: 'inference.families',
    default: {},
    description: 'More families of models: the name of each, and the words that tell it in the name of a model.',
  },
]
