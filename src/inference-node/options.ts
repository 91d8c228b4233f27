import * as v from 'valibot'
import { ConfigError } from '../lib/config-error.js'
import { id, list, maybe, models, share, shortText, slots } from '../wire/fields.js'
import { prefetch } from '../wire/node.js'
import { features, type Feature } from '../wire/params.js'
import { COORDINATORS, coordinatorAddresses, type Address } from './address.js'
import type { NodeEvent } from './events.js'
import { createIdentity, defaultNodeId, loadIdentity, type Identity } from './identity.js'
import { usableModels, type Offer } from './offer.js'
import type { Work } from './task.js'

export interface InferenceNodeOptions {
  /**
   * The coordinator's URL: ws, wss, http or https; the path of node sessions is added. Of several that stand for each other a list,
   * or a text with commas between: they are dialled in turn.
   */
  coordinator: string | readonly string[]
  /** Does the inference. */
  work: Work
  /** The models it serves, at most 64; or what finds them out, at the start and whenever the backend is back. */
  models: readonly string[] | ((signal: AbortSignal) => Promise<readonly string[]>)
  /**
   * What its work understands beside plain text: `params` (everything in `task.params`), `tools`, `images`, `embeddings`. Default:
   * nothing, and it gets no task that needs something. A backend says it as `features`.
   */
  features?: readonly Feature[] | undefined
  /** Who the node is. Default: the key in `keyFile`; without one a new key that is kept nowhere. */
  identity?: Identity | undefined
  /** A PEM file, made on first use. */
  keyFile?: string | undefined
  /** Default: follows from the key. */
  nodeId?: string | undefined
  /** Whether its first session ends the one that another process holds with the same key. Default false: it is refused then. */
  takeOver?: boolean | undefined
  /** What lets its key in at a coordinator that takes invited nodes; not needed once it was let in. */
  invite?: string | undefined
  /** How many tasks it works on at once, 1 to 1024. Default 1. */
  maxConcurrentTasks?: number | undefined
  /**
   * How many tasks it holds beyond those, so that the next is there when one is done: 0 to 64. Default 'auto': one for each of them, at
   * most 8, while its tasks take a few seconds.
   */
  prefetch?: number | 'auto' | undefined
  /** 0 to 1. Default 1. */
  performanceScore?: number | undefined
  /** An address to show; nobody dials it. */
  endpoint?: string | undefined
  /** Its address on the chain. */
  nodeAddress?: string | undefined
  /** Whether it signs its results, for their receipts. Default true. */
  signResults?: boolean | undefined
  /**
   * Rejects while the backend cannot work. It may answer what can be served of the models that are wanted (none: of all there
   * is); then the node offers only that. Default: it always can, and all of them.
   */
  check?: ((signal: AbortSignal, wanted: readonly string[]) => void | Promise<Offer | void>) | undefined
  /** Where completions are kept until they are settled, to outlive a crash. Default: in memory only. */
  unsettledFolder?: string | undefined
  /** For everything up to the welcome, seconds; of that at least 5 for the answer to the hello. Default 15. */
  connectTimeout?: number | undefined
  /** The longest a drain takes, seconds. Default 600. */
  drainTimeout?: number | undefined
  /** A result without an answer is sent again after so many seconds. Default 30. */
  resendAfter?: number | undefined
  /** Partial output is sent at most every so many ms for a task. Default 4, more while more than 16 tasks run. */
  outputInterval?: number | undefined
  /** For the jitter of waits: from 0 to below 1. */
  random?: (() => number) | undefined
  /** Told what happens. It must not throw: what it throws is an uncaught exception. */
  onEvent?: ((event: NodeEvent) => void) | undefined
}

export interface Resolved {
  addresses: readonly [Address, ...Address[]]
  identity: Identity
  nodeId: string
  takeOver: boolean
  invite: string | null
  work: Work
  /** What is to be served; empty for what is found out. */
  models: readonly string[]
  features: readonly Feature[]
  slots: number
  prefetch: number | 'auto'
  performanceScore: number
  endpoint: string
  nodeAddress: string | undefined
  signResults: boolean
  /** What can be served now; rejects while the backend cannot work. */
  look: (signal: AbortSignal) => Promise<Offer>
  unsettledFolder: string | undefined
  connectTimeout: number
  drainTimeout: number
  resendAfter: number
  /** ms, while so many tasks run. */
  outputInterval: (running: number) => number
  random: () => number
  onEvent: (event: NodeEvent) => void
}

const duration = v.optional(
  v.pipe(v.number('must be a number of seconds from 0'), v.minValue(0, 'must be a number of seconds from 0')),
)
/** As an operator says it. */
export const prefetchSetting = v.union([v.literal('auto'), prefetch], 'must be "auto", or an integer from 0 to 64')

const plain = v.object({
  nodeId: maybe(id),
  features: v.optional(
    list(v.picklist(features, `must be ${features.join(', ')} or some of them`), 'must be an array of names'),
    [],
  ),
  maxConcurrentTasks: v.optional(slots, 1),
  prefetch: v.optional(prefetchSetting, 'auto'),
  performanceScore: v.optional(share, 1),
  endpoint: v.optional(shortText(0, 2048), ''),
  nodeAddress: maybe(shortText(0, 256)),
  connectTimeout: duration,
  drainTimeout: duration,
  resendAfter: duration,
  outputInterval: duration,
})

/** A reader sees no difference below, and models that say more than 250 pieces a second need fewer messages. */
const OUTPUT_INTERVAL_MS = 4
/** However many tasks run, they then make 4,000 messages a second; a coordinator takes 20,000 of a session. */
const OUTPUT_INTERVAL_PER_TASK_MS = 0.25
const outputInterval = (running: number): number => Math.max(OUTPUT_INTERVAL_MS, running * OUTPUT_INTERVAL_PER_TASK_MS)

/** @throws ConfigError one line: what is wrong with which option, or with the key file */
export function resolveOptions(options: InferenceNodeOptions): Resolved {
  const addresses = coordinatorAddresses(options.coordinator)
  if (addresses === null) throw new ConfigError(`coordinator: ${COORDINATORS}`)
  const parsed = v.safeParse(plain, options)
  if (!parsed.success)
    throw new ConfigError(`${v.getDotPath(parsed.issues[0]) ?? 'options'}: ${parsed.issues[0].message}`)
  const given = parsed.output
  const { outputInterval: fixed } = given
  const wanted = typeof options.models === 'function' ? [] : checkModels(options.models)
  const identity =
    options.identity ?? (options.keyFile === undefined ? createIdentity() : loadIdentity(options.keyFile))
  const ms = (seconds: number): number => seconds * 1000
  return Object.freeze({
    addresses,
    identity,
    nodeId: given.nodeId ?? defaultNodeId(identity),
    takeOver: options.takeOver ?? false,
    invite: options.invite ?? null,
    work: options.work,
    models: wanted,
    features: features.filter((feature) => given.features.includes(feature)),
    slots: given.maxConcurrentTasks,
    prefetch: given.prefetch,
    performanceScore: given.performanceScore,
    endpoint: given.endpoint,
    nodeAddress: given.nodeAddress ?? undefined,
    signResults: options.signResults ?? true,
    look: (signal: AbortSignal) => lookAt(options, wanted, signal),
    unsettledFolder: options.unsettledFolder,
    connectTimeout: ms(given.connectTimeout ?? 15),
    drainTimeout: ms(given.drainTimeout ?? 600),
    resendAfter: ms(given.resendAfter ?? 30),
    outputInterval: fixed === undefined ? outputInterval : () => fixed,
    random: options.random ?? Math.random,
    onEvent: options.onEvent ?? (() => undefined),
  })
}

async function lookAt(
  { check, models: given }: InferenceNodeOptions,
  wanted: readonly string[],
  signal: AbortSignal,
): Promise<Offer> {
  const found = await check?.(signal, wanted)
  if (typeof found === 'object') return { ...found, models: usableModels(found.models) }
  return { models: typeof given === 'function' ? usableModels(await given(signal)) : wanted }
}

function checkModels(given: readonly string[]): readonly string[] {
  const parsed = v.safeParse(v.pipe(models, v.minLength(1, 'must name at least one model')), given)
  if (!parsed.success) throw new ConfigError(`models: ${parsed.issues[0].message}`)
  return Object.freeze(parsed.output)
}
