import type { ChainRpc } from '../chain/rpc/chain-rpc.js'
import { createChainRpc } from '../chain/rpc/chain-rpc.js'
import type { SubmissionStep } from '../chain/preparation.js'
import { bootAddress, type Network } from '../chain/address.js'
import { createOriginVerifier } from '../chain/origin.js'
import { principal } from '../rules/principal.js'
import type { Caller } from '../core/access/caller.js'
import type { Scheduler } from '../core/engine/scheduler.js'
import type { TimeSource } from '../lib/clock.js'
import type { Logger } from '../lib/log.js'
import { createAccounts } from './accounts.js'
import { createEventDoor } from './event-door.js'
import { createStakeWatch } from './stakes.js'
import { createPaymentCheck } from './payment-check.js'
import { createRelay } from './relay.js'

/** Who submits as an event: the operator has named its address. */
const EVENTS: Caller = { principal: principal({ role: 'admin' }), address: null, request_id: null }

/** What of `[chain]` and `[signer]` is needed here. Times in ms. */
export interface SettlementSettings {
  network: Network
  /** The RPC of the node that gets transactions. */
  endpoint: string
  requestTimeout: number
  pollInterval: number
  checkBalance: boolean
  /** Null where stakes do not matter. `bootAddress` null: that of the network. */
  stakes: { bootAddress: string | null; interval: number } | null
  /** Where blocks are announced, and who may do so; null: nowhere. */
  observer: { host: string; port: number; allow: readonly string[]; submissionsFrom: readonly string[] } | null
}

export interface SettlementServiceParts {
  settings: SettlementSettings
  call: Scheduler['call']
  time: TimeSource
  log: Logger
  /** In place of the one that the settings tell of. */
  rpc?: ChainRpc
}

export type SettlementService = ReturnType<typeof createSettlementService>

/** What of the service looks at the chain: checks payments at the doors, posts them, and hears of blocks. */
export function createSettlementService({ settings, call, time, log, rpc: given }: SettlementServiceParts) {
  const { endpoint, requestTimeout, pollInterval, network, observer } = settings
  const rpc = given ?? createChainRpc({ endpoint, timeout: requestTimeout })
  const now = (): number => time.monotonic()
  const accounts = settings.checkBalance ? createAccounts({ rpc, now }) : null
  const step: SubmissionStep = createPaymentCheck({ network, verify: createOriginVerifier(), accounts, log })
  const relay = createRelay({ rpc, call, time, log, pollInterval })
  const door =
    observer === null
      ? null
      : createEventDoor({
          ...observer,
          step,
          call,
          log,
          submitter: EVENTS,
          tipChanged: relay.tipChanged,
          reconcile: relay.reconcile,
        })
  const stakes =
    settings.stakes === null
      ? null
      : createStakeWatch({
          rpc,
          call,
          log,
          bootAddress: settings.stakes.bootAddress ?? bootAddress(network),
          interval: settings.stakes.interval,
        })
  return {
    step,
    /** Settlements are due. */
    wake: relay.wake,
    /** @returns where blocks are announced; rejects with a sentence where that address cannot be had */
    async start(): Promise<{ host: string; port: number } | null> {
      const address = (await door?.listen()) ?? null
      relay.start()
      stakes?.start()
      return address
    },
    /** What an operator should look at, as a sentence; null when all is well. */
    warning: relay.warning,
    /** Hears of nothing more, and ends what is being posted: that gets so many ms. */
    async stop(ms: number): Promise<void> {
      await Promise.all([door?.close(), stakes?.stop()])
      await relay.stop(ms)
    },
  }
}
