import * as v from 'valibot'
import { bootAddress, isAddress, type Network } from '../../chain/address.js'
import { accountOf, type Block } from './blocks.js'
import { hex16, type Mempool } from './mempool.js'
import { addressOfArgument, stakeValue, type StakeOf } from './stakes.js'

/** An answer of the node: a text, or what becomes JSON. */
export interface Answer {
  status: number
  body: unknown
  headers?: Record<string, string>
}

export interface RouteParts {
  network: Network
  networkId: number
  tip(): Block
  mempool: Mempool
  stakes: ReadonlyMap<string, StakeOf>
  /** What is done with a transaction, as bytes in hex. @param output null where none came with it */
  post(hex: string, output: string | null): Promise<Answer>
}

/** As large as the body of a transaction may be, in bytes. */
export const MAX_BODY = 16 * 1024 * 1024 + 1

const hex = v.pipe(
  v.string(),
  v.check((text) => text.length % 2 === 0 && /^[0-9a-f]*$/i.test(text)),
)
const postBody = v.object({ tx: hex, attachment: v.optional(v.nullable(hex), null) })
const callReadBody = v.object({ sender: v.string(), arguments: v.array(v.string()) })

const text = (status: number, body: string): Answer => ({ status, body })
const NO_ROUTE = text(404, 'Not found')

/** The RPC of a node, as far as the service and its nodes call it. */
export function createRoutes({ network, networkId, tip, mempool, stakes, post }: RouteParts) {
  const info = (): Answer => {
    const { height, hash, consensusHash, burnHeight } = tip()
    return {
      status: 200,
      body: {
        server_version: 'fake-chain 1',
        network_id: networkId,
        burn_block_height: burnHeight,
        funai_tip_height: height,
        funai_tip: hash,
        funai_tip_consensus_hash: consensusHash,
      },
    }
  }
  const account = (address: string): Answer => {
    if (!isAddress(address, network)) return text(400, 'Invalid address')
    const { balance, nonce } = accountOf(tip().accounts, address)
    return {
      status: 200,
      body: { balance: hex16(balance), locked: hex16(0n), unlock_height: 0, nonce: Number(nonce) },
    }
  }
  const unconfirmed = (txid: string): Answer => {
    const held = mempool.held(txid)
    if (held === undefined) return text(404, `No such unconfirmed transaction ${txid}`)
    return { status: 200, body: { tx: held.bytes.toString('hex'), status: 'Mempool' } }
  }
  const inferResult = (txid: string): Answer => {
    const { status = 'NotFound', input = '', output = '', outputHash = '', nodeId = '' } = mempool.result(txid) ?? {}
    const names = { output_hash: outputHash, inference_node_id: nodeId }
    return { status: 200, body: { txid, status, input, output, ...names, create_time: '' } }
  }
  const postTransaction = (type: string, body: Buffer): Answer | Promise<Answer> => {
    if (type === 'application/octet-stream') return post(body.toString('hex'), null)
    const parsed = v.safeParse(postBody, parseJson(body))
    if (!parsed.success) return text(400, 'Failed to decode body')
    const { tx, attachment } = parsed.output
    return post(tx, attachment === null ? null : Buffer.from(attachment, 'hex').toString())
  }
  const callRead = (contract: string, body: Buffer): Answer => {
    const parsed = v.safeParse(callReadBody, parseJson(body))
    if (!parsed.success) return text(400, 'Failed to decode body')
    if (contract !== bootAddress(network))
      return { status: 200, body: { okay: false, cause: `Unchecked(NoSuchContract("${contract}.pox-4"))` } }
    const address = addressOfArgument(parsed.output.arguments[0] ?? '')
    if (address === null) return { status: 200, body: { okay: false, cause: 'Unchecked(TypeValueError)' } }
    return { status: 200, body: { okay: true, result: stakeValue(stakes.get(address)) } }
  }

  return (method: string, path: string, type: string, body: Buffer): Answer | Promise<Answer> => {
    const [, version = '', area = '', ...rest] = path.split('/')
    const route = `${method} ${version}/${area}/${rest.map((part) => (part.length < 24 ? part : '*')).join('/')}`
    const [first = '', second = ''] = rest
    if (path === '/v2/info' && method === 'GET') return info()
    if (path === '/v2/transactions' && method === 'POST') return postTransaction(type, body)
    switch (route) {
      case 'GET v2/accounts/*':
        return account(first)
      case 'GET v2/transactions/unconfirmed/*':
        return unconfirmed(second)
      case 'GET v2/infer_res/*':
        return inferResult(first)
      case 'POST v2/contracts/call-read/*/pox-4/infer-get-stake-info':
        return callRead(second, body)
      default:
        return NO_ROUTE
    }
  }
}

/** undefined for what is no JSON: no schema takes it. */
function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString())
  } catch {
    return undefined
  }
}
