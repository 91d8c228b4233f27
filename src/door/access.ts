import type { Network } from '../chain/address.js'
import type { Caller } from '../core/access/caller.js'
import type { AccessState, Operation } from '../core/operations.js'
import { toSeconds, type TimeSource } from '../lib/clock.js'
import type { Logger } from '../lib/log.js'
import { decideAccess, type AccessMode, type Exposure } from '../rules/access-mode.js'
import { createRefusedTally } from './refused-calls.js'
import { createRemotes } from './remote.js'
import { createSignIn } from './sign-in.js'
import { createTokenDirectory } from './token-directory.js'
import { createVerifications } from './verifications.js'
import { createWho } from './who.js'

/** How often the log says again what is dangerous, and the audit is told what was refused, ms. */
const WARN_EVERY_MS = 3_600_000
const TELL_EVERY_MS = 60_000

/** How old the last use of a token may be as the file has it, seconds: it is not worth a write of its own. */
const USED_AFTER_SECONDS = 300

type Send = (operation: Extract<Operation, { op: 'refused' | 'used' }>) => void

export interface DoorAccessParts {
  /** How far the service is to be seen; tokens are told of later. */
  exposure: Omit<Exposure, 'tokens'>
  /** Whether limits by address hold for loopback too. */
  countLoopback: boolean
  legacyUnsigned: readonly string[]
  /** Whose addresses wallets sign in with. */
  network: Network
  time: TimeSource
  log: Pick<Logger, 'info' | 'warn'>
}

export type DoorAccess = ReturnType<typeof createDoorAccess>

/** Who comes through the doors: what they all have to know, and whether they ask at all. */
export function createDoorAccess({ exposure, countLoopback, legacyUnsigned, network, time, log }: DoorAccessParts) {
  const wall = (): number => time.wall()
  const monotonic = (): number => time.monotonic()
  const tokens = createTokenDirectory(() => toSeconds(wall()))
  const tally = createRefusedTally()
  let on = exposure.authentication === 'on'
  let made = 0
  const mode = (): AccessMode => decideAccess({ ...exposure, tokens: { made, good: tokens.good() } })
  const warning = (): string | null => {
    const now = mode()
    return now.mode === 'refused' ? now.why : now.warning
  }
  const warn = (): void => {
    const text = warning()
    if (text !== null) log.warn({ event: 'access.warning' }, text)
  }
  let timers: NodeJS.Timeout[] = []
  const tell = (send: Send, usedAfter: number): void => {
    const refused = tally.take()
    if (refused !== null) send({ op: 'refused', refused })
    const used = tokens.takeUsed(usedAfter)
    if (used.length > 0) send({ op: 'used', tokens: used })
  }

  return {
    tokens,
    tally,
    remotes: createRemotes(exposure.trustedProxies, countLoopback),
    verify: createVerifications(),
    signIn: createSignIn({ network, tokens, wall }),
    who: createWho({
      tokens,
      isOn: () => on,
      legacyUnsigned,
      monotonic,
      onFailure({ address, tokenId, why }) {
        tally.failed(address)
        log.warn({ event: 'auth.failed', address, token_id: tokenId }, `a failed authentication: ${why}`)
      },
    }),
    /** Whether the service may start as it is. */
    mode,
    /** What an operator has to know of that, as a sentence. */
    warning,

    /** Whether a caller of before may still ask: its token may have been revoked, or one be needed now. */
    isGood: ({ principal: { role, token_id } }: Caller): boolean =>
      token_id === null ? role !== 'open' || !on : tokens.goodUntil(token_id) !== undefined,

    /** The core has told of tokens. Authentication is on from the first one, and never off again. */
    follow(state: AccessState): void {
      tokens.set(state.tokens)
      const first = made === 0 && state.counts.made > 0
      made = state.counts.made
      if (on || !first) return
      on = true
      log.info({ event: 'access.on' }, 'there is a token: from now on everybody has to show who he is')
    },

    /**
     * Warns of what is dangerous, now and each hour; tells the core each minute what was refused, and which tokens were used.
     */
    start(send: Send): void {
      warn()
      timers = [setInterval(warn, WARN_EVERY_MS), setInterval(tell, TELL_EVERY_MS, send, USED_AFTER_SECONDS)]
      for (const timer of timers) timer.unref()
    },
    /** Tells the rest. */
    stop(send: Send): void {
      for (const timer of timers) clearInterval(timer)
      tell(send, 0)
    },
  }
}
