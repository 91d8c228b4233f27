import type { IncomingHttpHeaders } from 'node:http'
import type { Caller } from '../core/access/caller.js'
import { createNetworks } from '../lib/networks.js'
import { done, refuse, type Outcome, type Refusal } from '../lib/result.js'
import { NOBODY, OPEN, principal, type Principal } from '../rules/principal.js'
import { parseToken } from '../wire/token.js'
import { BLOCKED_MS, createFailures } from './failures.js'
import type { Remote } from './remote.js'
import type { TokenDirectory } from './token-directory.js'

/** A failed authentication. */
export interface AuthFailure {
  address: string
  /** Of the token that was shown; null where none can be told. */
  tokenId: string | null
  /** A sentence. */
  why: string
}

export interface WhoParts {
  tokens: Pick<TokenDirectory, 'find'>
  /** Whether authentication is on. */
  isOn: () => boolean
  /** Networks whose nodes are believed which node they are. */
  legacyUnsigned: readonly string[]
  /** ms, monotonic */
  monotonic: () => number
  /** Told of failed authentications; of those that are too many only of the first. */
  onFailure: (failure: AuthFailure) => void
}

/** Who a request or a session is from. */
export interface Identified {
  principal: Principal
  /** Of the token it came with, also that of a wallet; null without one. */
  tokenId: string | null
}

export type Who = ReturnType<typeof createWho>
type From = Pick<Remote, 'address' | 'keys'>

const ANYBODY: Identified = { principal: OPEN, tokenId: null }
const STRANGER: Identified = { principal: NOBODY, tokenId: null }

/** Who asks: a principal, made once for a request or a session. What it may do is judged in the core. */
export function createWho({ tokens, isOn, legacyUnsigned, monotonic, onFailure }: WhoParts) {
  const ofAddress = createFailures(monotonic)
  const ofToken = createFailures(monotonic)
  const isLegacy = createNetworks(legacyUnsigned)

  /** How a failure is answered. A token that is good is never refused for the failures of others: no secret can be guessed. */
  const fail = ({ address = 'unknown', keys }: From, tokenId: string | null, refusal: Refusal): Refusal => {
    const counts = [
      ...keys.filter(({ times }) => times === 1).map(({ key }) => ofAddress.count(key)),
      tokenId === null ? null : ofToken.count(tokenId),
    ]
    if (!counts.includes('more')) onFailure({ address, tokenId, why: refusal.message })
    return counts.every((c) => c === null) ? refusal : TOO_MANY_FAILURES
  }

  /** Who shows this token. */
  const byToken = (text: string, from: From): Outcome<Identified> => {
    const found = tokens.find(text)
    if ('ok' in found) return fail(from, parseToken(text)?.id ?? null, found)
    const { tokenId, isFrom } = found
    return isFrom === null || isFrom(from.address)
      ? done(found)
      : fail(
          from,
          tokenId,
          refuse('unauthorized', `the token is not good for ${from.address}; use it from its networks`),
        )
  }

  return {
    byToken,
    isOn,

    /** Who sends a request. A token that is wrong is refused also where none is needed. */
    ofRequest({ authorization }: Pick<IncomingHttpHeaders, 'authorization'>, from: From): Outcome<Identified> {
      // A service that is open may be behind a proxy with a login of its own.
      if (!isOn()) return done(ANYBODY)
      if (authorization === undefined) return done(STRANGER)
      const text = /^Bearer +([\x21-\x7e]{1,256})$/i.exec(authorization)?.[1]
      return text === undefined ? fail(from, null, NO_BEARER) : byToken(text, from)
    },

    /** A signature was wrong: how that is answered. */
    failed: (from: From, refusal: Refusal): Refusal => fail(from, null, refusal),

    /** Whether a call without a token comes from a machine whose node cannot change: it is believed which node it is. */
    isLegacy: (by: Caller): boolean => by.principal.role === 'public' && isLegacy(by.address ?? undefined),
  }
}

/** The same caller, who speaks for a node. */
export const asNode = (by: Caller, node_id: string): Caller => ({
  ...by,
  principal: principal({ role: 'node', node_id }),
})
/** The same caller, who has proven to own an address. */
export const asWallet = (by: Caller, address: string): Caller => ({
  ...by,
  principal: principal({ role: 'user', owners: [address], wallet: true }),
})

const NO_BEARER = refuse('unauthorized', 'Authorization: must be "Bearer " and a token of this service')
const TOO_MANY_FAILURES: Refusal = {
  ...refuse(
    'rate_limited',
    `too many failed authentications; wait ${BLOCKED_MS / 60_000} minutes, or use a token that is good`,
  ),
  retryAfter: BLOCKED_MS / 1000,
}
