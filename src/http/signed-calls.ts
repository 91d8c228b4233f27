import { isWrongSignature, verifyNodeCall, verifyQuery } from '../chain/signed-calls.js'
import type { Caller } from '../core/access/caller.js'
import type { Scheduler } from '../core/engine/scheduler.js'
import type { Verifications } from '../door/verifications.js'
import { asNode, asWallet, type Who } from '../door/who.js'
import { done, refuse, type Outcome, type Refusal } from '../lib/result.js'
import type { Proof, SignedPoll, SignedQuery } from '../wire/signed.js'
import type { Exchange } from './exchange.js'

export interface SignedCallParts {
  call: Scheduler['call']
  who: Pick<Who, 'failed' | 'isLegacy'>
  verify: Verifications
  wall: () => number
}

/** Who speaks for a node, and how he has proven it. */
export interface NodeCaller {
  by: Caller
  proof?: Proof
}
/** A call in the name of a node, which may be signed. */
interface NodeCall {
  node_id: string
  timestamp?: number | null | undefined
  signature?: string | null | undefined
}

export type SignedCalls = ReturnType<typeof createSignedCalls>

/** Who calls, where a signature in the body says it: whatever else the request shows. */
export function createSignedCalls({ call, who, verify, wall }: SignedCallParts) {
  const refusalOf = ({ remote }: Exchange, refusal: Refusal): Refusal =>
    isWrongSignature(refusal) ? who.failed(remote, refusal) : refusal

  /** Who polls for a node, by the signature of its key. */
  const signer = async (
    exchange: Exchange,
    signed: SignedPoll,
    text: string,
  ): Promise<Outcome<Required<NodeCaller>>> => {
    const found = await call({ op: 'nodeKey', node_id: signed.node_id })
    if (!found.ok) return found
    const proven = await verify(exchange.keys, () =>
      verifyNodeCall(signed, text, { registered: found.value.public_key, now: wall() }),
    )
    return proven.ok
      ? done({ by: asNode(exchange.by, signed.node_id), proof: proven.value })
      : refusalOf(exchange, proven)
  }

  /** Who calls for a node without a signature: as the request says, or as the node it names where machines are believed. */
  const named = ({ by }: Exchange, node_id: string): NodeCaller => ({ by: who.isLegacy(by) ? asNode(by, node_id) : by })

  return {
    signer,
    named,
    /** Who calls for a node. @param text what is signed of the call, at its time */
    async caller(
      exchange: Exchange,
      { node_id, timestamp, signature }: NodeCall,
      text: (timestamp: number) => string,
    ): Promise<Outcome<NodeCaller>> {
      if (signature == null) return done(named(exchange, node_id))
      if (timestamp == null)
        return refuse('invalid_request', 'timestamp: is missing; send the time that was signed beside the signature')
      return signer(exchange, { node_id, timestamp, signature }, text(timestamp))
    },
    /** Who asks for a task of his own, by the signature of the wallet that has submitted it. */
    async owner(exchange: Exchange, query: SignedQuery): Promise<Outcome<Caller>> {
      const found = await call({ op: 'taskUser', task_id: query.task_id })
      if (!found.ok) return found
      const { user_address } = found.value
      const proven = await verify(exchange.keys, () => verifyQuery(query, { owner: user_address, now: wall() }))
      return proven.ok ? done(asWallet(exchange.by, user_address ?? '')) : refusalOf(exchange, proven)
    },
  }
}
