import { TextDecoder } from 'node:util'
import * as v from 'valibot'
import { parseJson } from '../../wire/json.js'
import { principalOf } from '../address.js'
import { principalArgument } from '../clarity.js'
import { createNodeCalls, type NodeCallParts, type Reply, type Unreachable } from './node-call.js'
import { readRejection, type Refused } from './rejection.js'
import {
  accountReply,
  callReadReply,
  inferResultReply,
  infoReply,
  txidReply,
  unconfirmedReply,
  type ChainAccount,
  type ChainInfo,
  type InferResult,
} from './replies.js'

/** The RPC of a node. No call throws or rejects: what the other side does is a value. */
export interface ChainRpc {
  info(): Promise<ChainInfo | Unreachable>
  account(address: string): Promise<ChainAccount | Unreachable>
  /**
   * Gives a transaction to the node, with the output that its hash is of.
   *
   * `taken` is no proof: a node says the same, and keeps nothing, where it holds another transaction of this txid already,
   * which may have another payee, or where it finds this one problematic. Look with `unconfirmed` whose bytes it holds.
   * `unreachable` is no proof of the contrary: the answer alone may be lost.
   */
  post(tx: Uint8Array, attachment: string): Promise<Taken | Refused | Unreachable>
  /** The transaction of this txid as the node holds it: in its mempool, or mined in the last 256 blocks or so. */
  unconfirmed(txid: string): Promise<Held | Absent | Unreachable>
  /** What the node has of the result. */
  inferResult(txid: string): Promise<InferResult | Unreachable>
  /** The stake of an address as the contract answers: a Clarity value. @param bootAddress whose contract it is */
  stake(address: string, bootAddress: string): Promise<StakeReply | Unreachable>
  /** Ends all calls, which come to `unreachable` then. */
  close(): Promise<void>
}

export interface Taken {
  is: 'taken'
  /** As the node computed it: 64 lower-case hex characters. */
  txid: string
}
export interface Held {
  is: 'held'
  tx: Buffer
}
export interface Absent {
  is: 'absent'
}
export interface StakeReply {
  is: 'stake'
  /** Hex with 0x: for `readStake`. */
  result: string
}

const KIB = 1024
const MIB = 1024 * KIB
/** The largest answer of most calls, in bytes: they have some hundred. */
const SMALL = 64 * KIB
/** The largest answer with a transaction: an Infer has less than 1 KiB, and whoever posted it may have lengthened it. */
const WITH_TX = 4 * MIB
/** The largest answer with an output, which is as long as the model made it. */
const WITH_OUTPUT = 32 * MIB
/** The largest request that a node reads, in bytes. */
const MAX_POST = 16 * MIB

export interface ChainRpcOptions extends Omit<NodeCallParts, 'setting'> {
  /** The setting that the endpoint comes from, for sentences. Default `miner_endpoint`. */
  setting?: string
}

/**
 * @param options.endpoint such as `http://127.0.0.1:20443`, as the configuration has checked it
 * @param options.timeout how long a call may take until the whole answer is there, ms
 */
export function createChainRpc({ endpoint, timeout, setting = 'miner_endpoint' }: ChainRpcOptions): ChainRpc {
  const node = createNodeCalls({ endpoint, timeout, setting })

  /** What an answer comes to that is none of those which the call expects. */
  const explainForeign = ({ status }: Reply, path: string): Unreachable => {
    if (status === 401 || status === 403 || status === 407)
      return node.unreachable(`answers ${status} to ${path}: it wants a login; give user and password in ${setting}`)
    if (status === 429 || status >= 500)
      return node.unreachable(
        `answers ${status} to ${path}; see in the log of the node, or of the proxy before it, why`,
      )
    return node.unreachable(
      `answers ${status} to ${path}, but not as a node does; see whether ${setting} is the RPC address of one`,
    )
  }

  const get = async <S extends v.GenericSchema>(
    path: string,
    schema: S,
    { most = SMALL, json }: { most?: number; json?: string } = {},
  ): Promise<v.InferOutput<S> | Unreachable> => {
    const reply = await node.call({ path, most, ...(json === undefined ? {} : { json }) })
    if (reply.is === 'unreachable') return reply
    const parsed = reply.status === 200 ? v.safeParse(schema, readJson(reply.body), { abortEarly: true }) : null
    return parsed?.success === true ? parsed.output : explainForeign(reply, path)
  }

  return {
    info: () => get('/v2/info', infoReply),
    account: (address) => get(`/v2/accounts/${encodeURIComponent(address)}?proof=0`, accountReply),
    async post(tx, attachment) {
      const path = '/v2/transactions'
      const json = JSON.stringify({
        tx: Buffer.from(tx).toString('hex'),
        attachment: Buffer.from(attachment).toString('hex'),
      })
      if (json.length > MAX_POST) return tooLarge(attachment)
      const reply = await node.call({ path, json, most: SMALL })
      if (reply.is === 'unreachable') return reply
      const body = readJson(reply.body)
      if (reply.status === 400) return readRejection(node.shown, body, reply.body.toString())
      const txid = reply.status === 200 ? v.safeParse(txidReply, body) : null
      return txid?.success === true ? { is: 'taken', txid: txid.output } : explainForeign(reply, path)
    },
    async unconfirmed(txid) {
      const path = `/v2/transactions/unconfirmed/${encodeURIComponent(txid)}`
      const reply = await node.call({ path, most: WITH_TX })
      if (reply.is === 'unreachable') return reply
      if (reply.status === 404) return { is: 'absent' }
      const parsed = reply.status === 200 ? v.safeParse(unconfirmedReply, readJson(reply.body)) : null
      return parsed?.success === true ? parsed.output : explainForeign(reply, path)
    },
    inferResult: (txid) => get(`/v2/infer_res/${encodeURIComponent(txid)}`, inferResultReply, { most: WITH_OUTPUT }),
    async stake(address, bootAddress) {
      if (principalOf(address) === null) return { is: 'stake', result: NONE }
      const path = `/v2/contracts/call-read/${encodeURIComponent(bootAddress)}/pox-4/infer-get-stake-info`
      const json = JSON.stringify({ sender: address, arguments: [principalArgument(address)] })
      const answer = await get(path, callReadReply, { json })
      if ('is' in answer) return answer
      if (answer.okay) return { is: 'stake', result: answer.result }
      const cause = answer.cause.slice(0, MAX_CAUSE)
      return node.unreachable(`cannot tell the stake of ${address}: ${cause}; see whether boot_address is right`)
    },
    close: node.close,
  }
}

const MAX_CAUSE = 300
/** The value of Clarity for nothing: what is no address has staked nothing. */
const NONE = '0x09'

/** Said here: a node answers it with a sentence, after all of it was sent. */
const tooLarge = (attachment: string): Refused => ({
  is: 'refused',
  reason: 'TooLarge',
  data: { message: null, expected: null, actual: null, principal: null, isOrigin: null },
  message: `the output has ${Buffer.byteLength(attachment)} bytes: no node takes a transaction with so long a result; lower max_output_bytes to less than 8 MiB`,
  class: 'final',
})

// Fatal: an invalid byte makes the answer unreadable, it is never replaced.
const utf8 = new TextDecoder('utf-8', { fatal: true })

/** undefined for what is no JSON, or more nested than a node's answers are: no schema takes it. */
function readJson(body: Buffer): unknown {
  let text: string
  try {
    text = utf8.decode(body)
  } catch {
    return undefined
  }
  const json = parseJson(text)
  return json.ok ? json.value : undefined
}
