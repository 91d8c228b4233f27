import { createCallbackService } from './callbacks/service.js'
import { settlementSettings, type ServiceConfig } from './config.js'
import type { Scheduler } from './core/engine/scheduler.js'
import { taskStatus } from './http/views.js'
import type { TimeSource } from './lib/clock.js'
import type { Logger } from './lib/log.js'
import { createSettlementService } from './settlement/service.js'

/** How long a stop waits for what is just being posted, ms. */
const LAST_POST_MS = 2000

export interface OutgoingParts extends Pick<ServiceConfig, 'chain' | 'callbacks'> {
  signer: ServiceConfig['signer'] | undefined
  call: Scheduler['call']
  time: TimeSource
  /** Told how a try to call back has ended. */
  onCallback?: (outcome: string) => void
  log: Logger
}

/**
 * What the service itself calls: the node of the chain, and those who are called back.
 * @throws ConfigError where nothing says which network the chain is
 */
export function createOutgoing({ signer, chain, callbacks, ...common }: OutgoingParts) {
  const payments = settlementSettings(chain, signer)
  const settlement = payments === null ? null : createSettlementService({ settings: payments, ...common })
  const calling =
    callbacks === undefined ? null : createCallbackService({ settings: callbacks, view: taskStatus, ...common })
  return {
    /** What is done with payments before the core sees them; null: nothing. */
    step: settlement?.step ?? null,
    settlementsDue: (): void => settlement?.wake(),
    callbacksDue: (): void => calling?.wake(),
    /** @returns where blocks are announced; rejects with a sentence where that address cannot be had */
    start: async (): Promise<{ host: string; port: number } | null> => {
      const observer = (await settlement?.start()) ?? null
      calling?.start()
      return observer
    },
    /** What an operator should look at, as a sentence; null when all is well. */
    warning: (): string | null => settlement?.warning() ?? null,
    async stop(): Promise<void> {
      await Promise.all([settlement?.stop(LAST_POST_MS), calling?.stop(LAST_POST_MS)])
    },
  }
}
