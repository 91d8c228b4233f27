import type { AccessState } from '../core/operations.js'
import { createNetworks, type InNetworks } from '../lib/networks.js'
import { refuse, type Refusal } from '../lib/result.js'
import { principal, type Principal } from '../rules/principal.js'
import { limitsOf, roleOfKind } from '../rules/tokens.js'
import { hashToken, makeToken, parseToken, sameHash } from '../wire/token.js'

/** Tokens of wallets that are known at once; for one more the oldest is forgotten, and its wallet signs in anew. */
const MAX_WALLET_TOKENS = 10_000
/** How long the token of a wallet is good, seconds. */
const WALLET_TOKEN_SECONDS = 3600

/** What the directory keeps of a token. */
type KnownToken = Pick<
  AccessState['tokens'][number],
  'id' | 'hash' | 'kind' | 'owners' | 'node_id' | 'scopes' | 'limits' | 'cidrs' | 'expires_at'
>

/** Texts that are known without their hash. */
const MAX_SHOWN = 10_000

/** Who shows a token that is good. */
export interface Holder {
  readonly principal: Principal
  /** The id of its token, by which it is asked for again. */
  readonly tokenId: string
  /** Whether it may be shown from an address; null where it may from everywhere. */
  readonly isFrom: InNetworks | null
}

interface Entry {
  hash: string
  /** Unix seconds; null: until it is revoked. */
  expires_at: number | null
  holder: Holder
  /** When it was used last, Unix seconds, and when that was last told; null where it was not, and for tokens of wallets. */
  usedAt: number | null
  toldAt: number | null
}

export type TokenDirectory = ReturnType<typeof createTokenDirectory>

/**
 * The tokens that are good, as the doors know them: those that the core tells of, and those of wallets, which are kept in memory
 * only. To find one costs one SHA-256; a text that is no token costs its checksum.
 * @param now Unix seconds
 */
export function createTokenDirectory(now: () => number) {
  let known = new Map<string, Entry>()
  const wallets = new Map<string, Entry>()
  /** By texts that were shown before and found good: to look at each anew would be a tenth of what a submission costs. */
  const shown = new Map<string, Entry>()
  /** The last uses of tokens that are good no more, which were not told yet. */
  let lastUses: { id: string; at: number }[] = []

  const isGood = ({ expires_at }: Entry, at = now()): boolean => expires_at === null || expires_at > at
  const goodEntry = (id: string): Entry | undefined => {
    const entry = known.get(id) ?? wallets.get(id)
    return entry !== undefined && isGood(entry) ? entry : undefined
  }

  return {
    /** What the core says: all tokens that are good. */
    set(tokens: readonly KnownToken[]): void {
      const before = known
      known = new Map()
      for (const token of tokens) {
        const entry = entryOf(token)
        if (entry === null) continue
        const { usedAt = null, toldAt = null } = before.get(token.id) ?? {}
        known.set(token.id, { ...entry, usedAt, toldAt })
        before.delete(token.id)
      }
      for (const [id, { usedAt: at }] of before) if (at !== null) lastUses.push({ id, at })
      shown.clear()
    },

    /** How many are good now; those of wallets are not counted. */
    good: (): number => [...known.values()].filter((entry) => isGood(entry)).length,

    /** How long a token that was good stays so: Unix seconds, null until it is revoked; undefined when it is good no more. */
    goodUntil: (id: string): number | null | undefined => goodEntry(id)?.expires_at,

    /** Who a token belongs to, or why it is refused. */
    find(text: string): Holder | Refusal {
      const at = now()
      const before = shown.get(text)
      if (before !== undefined && isGood(before, at)) {
        before.usedAt = at
        return before.holder
      }
      const name = parseToken(text)
      if (name === null)
        return refuse('unauthorized', 'Authorization: this is no token of this service; give one as "Bearer sis_..."')
      if (name.kind === 'inv')
        return refuse('unauthorized', 'Authorization: this is an invite; a node gives it with --invite')
      const entry = goodEntry(name.id)
      if (entry === undefined || !sameHash(entry.hash, hashToken(text))) return NOT_GOOD
      if (shown.size >= MAX_SHOWN) shown.clear()
      shown.set(text, entry)
      entry.usedAt = at
      return entry.holder
    },

    /** Which were used since this was told, if that is so many seconds ago, and when they were last, Unix seconds. */
    takeUsed(after: number): { id: string; at: number }[] {
      const taken = lastUses
      lastUses = []
      for (const [id, entry] of known) {
        const { usedAt: at, toldAt } = entry
        if (at === null || at - (toldAt ?? -Infinity) < after) continue
        entry.usedAt = null
        entry.toldAt = at
        taken.push({ id, at })
      }
      return taken
    },

    /** A token for a wallet that has proven its address. @returns its text, and when it ends, Unix seconds */
    issueToWallet(address: string): { token: string; expires_at: number } {
      const { token, id, hash } = makeToken('usr')
      const expires_at = now() + WALLET_TOKEN_SECONDS
      const [oldest] = wallets.size >= MAX_WALLET_TOKENS ? wallets.keys() : []
      if (oldest !== undefined) {
        wallets.delete(oldest)
        shown.clear()
      }
      // The file does not know the token: what its bearer does is done by the wallet.
      const holder = {
        tokenId: id,
        isFrom: null,
        principal: principal({ role: 'user', owners: [address], wallet: true }),
      }
      wallets.set(id, { hash, expires_at, holder, usedAt: null, toldAt: null })
      return { token, expires_at }
    },
  }
}

const NOT_GOOD = refuse(
  'unauthorized',
  'the token is not known here, or is expired or revoked; ask the operator of this service for another one, or sign in again',
)

/** What is known of a token; null of an invite, which gives no role. */
function entryOf(token: KnownToken): Pick<Entry, 'hash' | 'expires_at' | 'holder'> | null {
  const { id, hash, kind, owners, node_id, scopes, limits, cidrs, expires_at } = token
  const role = roleOfKind[kind]
  if (role === null) return null
  return {
    hash,
    expires_at,
    holder: {
      tokenId: id,
      isFrom: cidrs === null ? null : createNetworks(cidrs),
      principal: principal({ role, token_id: id, owners: owners ?? [], node_id, scopes, limits: limitsOf(limits) }),
    },
  }
}
