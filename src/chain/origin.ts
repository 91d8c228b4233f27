import { createSharedTurns, type SharedTurns } from '../lib/shared-turns.js'
import type { SignedPayment } from './payment.js'
import { createRecovery, readSignature } from './recovery.js'
import { signerHash } from './transaction.js'

/** A key that is known costs about 300 bytes. */
const MAX_KNOWN_KEYS = 16_384

/** Shorter than elsewhere: its longest step takes up to 3 ms on a busy machine, and with it none may hold up the rest for 10. */
const SLICE_MS = 2

/** Tells of each transaction whether its origin has signed it. */
export type OriginVerifier = (payments: readonly SignedPayment[]) => Promise<boolean[]>

/**
 * Verifies who signed transactions. To recover a key costs about 2 ms, in turns with everything else; of a key that has been
 * recovered before, its next signature costs a third of that and 0.5 ms in the thread pool.
 * To make the verifier takes some 50 ms.
 * @param inTurns with whom it shares the time
 */
export function createOriginVerifier({
  inTurns = createSharedTurns(undefined, SLICE_MS),
  maxKnownKeys = MAX_KNOWN_KEYS,
}: { inTurns?: SharedTurns; maxKnownKeys?: number } = {}): OriginVerifier {
  const { recover, target, prepare } = createRecovery()
  const known = new Map<string, ReturnType<typeof target>>()
  const keep = (name: string, value: ReturnType<typeof target>): void => {
    known.delete(name)
    known.set(name, value)
    const [oldest] = known.keys()
    if (known.size > maxKnownKeys && oldest !== undefined) known.delete(oldest)
  }

  function* verifyOne({ tx, presign }: SignedPayment): Generator<void, boolean | Promise<boolean>> {
    const { hashMode, keyEncoding, signer } = tx
    const signature = readSignature(tx.signature)
    if (signature === null) return false
    const hash = BigInt(`0x${presign}`)
    const name = `${hashMode} ${keyEncoding} ${signer}`
    const seen = known.get(name)
    if (seen !== undefined) {
      keep(name, seen)
      const check = prepare(signature, hash, seen)
      return check === null ? false : check()
    }
    const key = yield* recover(signature, hash)
    if (key === null || signerHash(key.toHex(keyEncoding === 'compressed'), hashMode) !== signer) return false
    yield
    keep(name, target(key))
    return true
  }

  function* verifyAll(payments: readonly SignedPayment[]): Generator<void, Promise<boolean>[]> {
    const verified: Promise<boolean>[] = []
    for (const payment of payments) {
      verified.push(Promise.resolve(yield* verifyOne(payment)))
      yield
    }
    return verified
  }

  return async (payments) => Promise.all(await inTurns(verifyAll(payments)))
}
