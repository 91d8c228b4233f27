import type { AddressKeys } from '../lib/address.js'
import { done, refuse, type Outcome, type Refusal } from '../lib/result.js'
import { chunkMs } from '../lib/time-shares.js'
import type { Exchange } from './exchange.js'
import { takeBytes } from './allowance.js'
import { cannotReceive } from './limits.js'

/** A larger body leaves room for smaller ones, in bytes. */
const LARGE_BYTES = 64 * 1024
const NOBODY: AddressKeys = []
const LENGTH = /^\d{1,15}$/
/** Pieces that are smaller are put together in blocks: a body may come byte by byte, and each piece costs a hundred more. */
const SMALL_BYTES = 16 * 1024
const BLOCK_BYTES = 64 * 1024

/**
 * Reads the body of a request. What says how long it is is counted, or refused, before anything of it is read; what does not, as
 * it grows. It counts as being received until its answer has left, for until then it is in memory in one form or another.
 * @param most bytes
 * @returns the body in pieces, or why it is refused; never settles when the connection breaks before
 */
export function receiveBody(exchange: Exchange, most: number): Promise<Outcome<Buffer[]>> {
  const { request, response, keys } = exchange
  const { receiving, receivingLarge, time } = exchange.limits
  const declared = request.headers['content-length']
  const isDeclared = declared !== undefined && LENGTH.test(declared)
  let counted = 0
  let countedLarge = 0
  const giveBack = (): void => {
    receiving.give(keys, counted)
    receivingLarge.give(NOBODY, countedLarge)
  }
  /** Counts the body up to this length, or says why not. */
  const count = (length: number): Refusal | null => {
    if (length <= counted) return null
    if (length > most) return refuse('too_large', `the body is larger than ${most} bytes, the most that is taken here`)
    const more = length - counted
    const tooMany = takeBytes(exchange, more)
    if (tooMany !== null) return tooMany
    const large = length > LARGE_BYTES ? length - countedLarge : 0
    if (receivingLarge.take(NOBODY, large) !== null) return cannotReceive('service')
    const holder = receiving.take(keys, more)
    if (holder !== null) {
      receivingLarge.give(NOBODY, large)
      return cannotReceive(holder)
    }
    if (counted === 0) exchange.onEnd(giveBack)
    counted = length
    countedLarge += large
    return null
  }
  const refusal = isDeclared ? count(Number(declared)) : null
  if (refusal !== null) return Promise.resolve(refusal)
  if (request.headers.expect !== undefined) response.writeContinue()
  return new Promise((resolve) => {
    const pieces = createPieces()
    let length = 0
    const finish = (outcome: Outcome<Buffer[]>): void => {
      request.off('data', grow).off('end', end)
      resolve(outcome)
    }
    const grow = (piece: Buffer): void => {
      length += piece.length
      time.charge(keys, chunkMs(piece.length))
      if (!time.hasTime(keys) && !request.isPaused()) {
        request.pause()
        time.later(keys, () => request.resume())
      }
      const late = count(length)
      if (late === null) pieces.add(piece)
      else finish(late)
    }
    const end = (): void => finish(done(pieces.all()))
    request.on('data', grow).once('end', end)
  })
}

function createPieces() {
  const pieces: Buffer[] = []
  let block = Buffer.alloc(0)
  let used = 0
  const closeBlock = (): void => {
    if (used > 0) pieces.push(block.subarray(0, used))
    used = 0
  }
  return {
    add(piece: Buffer): void {
      if (piece.length >= SMALL_BYTES || (pieces.length === 0 && used === 0)) {
        closeBlock()
        pieces.push(piece)
        return
      }
      if (used === 0 || used + piece.length > block.length) {
        closeBlock()
        block = Buffer.allocUnsafe(BLOCK_BYTES)
      }
      used += piece.copy(block, used)
    },
    all(): Buffer[] {
      closeBlock()
      return pieces
    },
  }
}
