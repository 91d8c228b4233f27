import { randomBytes } from 'node:crypto'
import { isAddress, type Network } from '../chain/address.js'
import { challengeText, verifyWallet, type Challenge } from '../chain/wallet-message.js'
import { toSeconds } from '../lib/clock.js'
import { done, refuse, type Outcome } from '../lib/result.js'
import type { TokenDirectory } from './token-directory.js'

/** How long a wallet may take to sign, ms. */
const CHALLENGE_MS = 300_000
/** Challenges that are open at once; for one more the oldest is forgotten. */
const MAX_CHALLENGES = 10_000
/** The same of one address of a wallet, for one who asks for them: nobody else's can push his own out. */
const MAX_CHALLENGES_OF_ADDRESS = 5

export interface SignInParts {
  network: Network
  tokens: Pick<TokenDirectory, 'issueToWallet'>
  /** ms since 1970 */
  wall: () => number
}

/** What a wallet shows to get a token. */
export interface WalletAnswer {
  address: string
  public_key: string
  signature: string
}

export type SignIn = ReturnType<typeof createSignIn>

/** Wallets sign in: each challenge is good once, and only where it was asked for. In memory only. */
export function createSignIn({ network, tokens, wall }: SignInParts) {
  /** The oldest first. */
  const open = new Map<string, { challenge: Challenge; asker: string }>()
  const openOf = (address: string, asker: string): Challenge[] =>
    [...open.values()].filter((o) => o.challenge.address === address && o.asker === asker).map((o) => o.challenge)
  const forgetOld = (address: string, asker: string): void => {
    for (const [nonce, { challenge }] of open) {
      if (open.size < MAX_CHALLENGES && challenge.expiresAt > wall()) break
      open.delete(nonce)
    }
    const [oldest, ...others] = openOf(address, asker)
    if (oldest !== undefined && others.length + 1 >= MAX_CHALLENGES_OF_ADDRESS) open.delete(oldest.nonce)
  }

  return {
    /**
     * What a wallet has to sign to show that an address is its own.
     * @param domain the name of this service, as the wallet shows it
     * @param asker who asks for it: only he can answer
     * @returns the text, and when it ends, Unix seconds
     */
    challenge(address: string, domain: string, asker: string): Outcome<{ message: string; expires_at: number }> {
      if (!isAddress(address, network))
        return refuse('invalid_request', `address: must be an address of ${network}, with its checksum`)
      forgetOld(address, asker)
      const issuedAt = wall()
      const challenge: Challenge = {
        domain,
        address,
        network,
        nonce: randomBytes(16).toString('hex'),
        issuedAt,
        expiresAt: issuedAt + CHALLENGE_MS,
      }
      open.set(challenge.nonce, { challenge, asker })
      return done({ message: challengeText(challenge), expires_at: toSeconds(challenge.expiresAt) })
    },

    /** A token for who has signed one of his challenges. */
    async answer(given: WalletAnswer, asker: string): Promise<Outcome<{ token: string; expires_at: number }>> {
      let refusal = refuse(
        'unauthorized',
        'address: no challenge is open for it; ask for one, and answer within 5 minutes',
      )
      // The newest first: it is the one that was signed, mostly.
      for (const challenge of openOf(given.address, asker).reverse()) {
        if (challenge.expiresAt <= wall()) continue
        const proven = await verifyWallet({ ...given, text: challengeText(challenge) }, network)
        if (!proven.ok) refusal = proven
        else if (open.delete(challenge.nonce)) return done(tokens.issueToWallet(given.address))
      }
      return refusal
    },
  }
}
