import { createHmac } from 'node:crypto'
import { Webhook } from 'standardwebhooks'
import { LARGE_UNITS, type Pieces } from '../lib/json-pieces.js'

const PREFIX = 'whsec_'
const keyOf = (secret: string): Buffer => Buffer.from(secret.slice(PREFIX.length), 'base64')

/**
 * The secret of whoever submits, made of the service's: nothing of it has to be stored, and from his own nobody learns that of another.
 * @param secret `whsec_` and base64
 * @param signedFor `token:<id>` or `wallet:<address>`; null: the service's own
 */
export const secretFor = (secret: string, signedFor: string | null): string =>
  signedFor === null
    ? secret
    : PREFIX + createHmac('sha256', keyOf(secret)).update(`callbacks of ${signedFor}`).digest('base64')

/** What is said of a message beside its body. */
export type SignatureHeaders = Record<'webhook-id' | 'webhook-timestamp' | 'webhook-signature', string>

/** @param at when it is sent, Unix ms */
export interface Message {
  id: string
  at: number
  body: Pieces
}

/** The headers of Standard Webhooks for a message, in steps: the package signs what is short, and takes 20 ms for each MB. */
export function* signInSteps(secret: string, { id, at, body }: Message): Generator<void, SignatureHeaders> {
  const seconds = Math.floor(at / 1000)
  let signature: string
  if (body.length <= LARGE_UNITS)
    signature = new Webhook(secret).sign(id, new Date(seconds * 1000), Buffer.concat(body.pieces))
  else {
    const hmac = createHmac('sha256', keyOf(secret)).update(`${id}.${seconds}.`)
    for (const piece of body.pieces) {
      hmac.update(piece)
      yield
    }
    signature = `v1,${hmac.digest('base64')}`
  }
  return { 'webhook-id': id, 'webhook-timestamp': String(seconds), 'webhook-signature': signature }
}
