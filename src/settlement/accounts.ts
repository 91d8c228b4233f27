import type { ChainRpc } from '../chain/rpc/chain-rpc.js'
import { done, refuse, type Outcome } from '../lib/result.js'
import type { Paid } from '../wire/rest.js'

export type Account = NonNullable<Paid['account']>

/** An account is believed for so long; until then for as long again while it is asked anew, ms. */
const FRESH_MS = 5000
const STALE_MS = 60_000
/** After the node did not answer nobody waits for it for so long, ms. */
const DOWN_MS = 5000
const MAX_KNOWN = 10_000
/** Look-ups at once, and how many may wait for theirs. */
const MAX_AT_ONCE = 16
const MAX_WAITING = 1000

const TOO_MANY = refuse('unavailable', 'too many accounts are looked up just now; submit again in a few seconds')

export interface AccountParts {
  rpc: Pick<ChainRpc, 'account'>
  /** ms */
  now: () => number
}

export type Accounts = ReturnType<typeof createAccounts>

/** What the chain says of accounts, remembered for some seconds, so that a submission seldom waits for it. */
export function createAccounts({ rpc, now }: AccountParts) {
  const known = new Map<string, { account: Account; at: number }>()
  const asked = new Map<string, Promise<Account | null>>()
  const waiting: (() => void)[] = []
  let running = 0
  let downUntil = -Infinity

  const lookUp = async (address: string): Promise<Account | null> => {
    if (running >= MAX_AT_ONCE) await new Promise<void>((resolve) => waiting.push(resolve))
    running++
    try {
      if (now() < downUntil) return null
      const found = await rpc.account(address)
      if (found.is === 'unreachable') {
        downUntil = now() + DOWN_MS
        return null
      }
      const account = { nonce: toNumber(found.nonce), balance: toNumber(found.balance) }
      const [oldest] = known.keys()
      known.delete(address)
      if (known.size >= MAX_KNOWN && oldest !== undefined) known.delete(oldest)
      known.set(address, { account, at: now() })
      return account
    } finally {
      running--
      waiting.shift()?.()
    }
  }
  const ask = (address: string): Promise<Account | null> => {
    const before = asked.get(address)
    if (before !== undefined) return before
    const asking = lookUp(address).finally(() => asked.delete(address))
    asked.set(address, asking)
    return asking
  }

  return {
    /** Null where nobody can tell: that refuses nothing. Refused where too many ask. */
    async get(address: string): Promise<Outcome<Account | null>> {
      const found = known.get(address)
      const age = found === undefined ? Infinity : now() - found.at
      if (found !== undefined && age < FRESH_MS) return done(found.account)
      if (now() < downUntil) return done(found?.account ?? null)
      if (!asked.has(address) && waiting.length >= MAX_WAITING) return TOO_MANY
      const asking = ask(address)
      if (found !== undefined && age < STALE_MS) return done(found.account)
      return done((await asking) ?? found?.account ?? null)
    },
  }
}

/** Above what a number holds exactly there is always enough. */
const toNumber = (n: bigint): number => Number(n > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : n)
