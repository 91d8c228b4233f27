import { sha256 } from '../lib/sha256.js'
import type { SignedReceipt } from '../wire/receipt.js'
import { isServiceAddress, isSignedByNode, isSignedByService } from './receipts.js'

/** What is held against a receipt, beside what it says itself. */
export interface Evidence {
  /** The key that the service is known by, normalized. */
  key?: string | undefined
  /** What was submitted and what came back, as bytes. */
  input?: Uint8Array | undefined
  context?: Uint8Array | undefined
  output?: Uint8Array | undefined
}

/** One thing about a receipt, as a sentence. unknown: there was nothing to hold it against. */
export interface Check {
  is: 'good' | 'wrong' | 'unknown'
  says: string
}

/** Everything that can be said of a receipt without asking anybody. It is wrong where one of these is. */
export async function checkReceipt(signed: SignedReceipt, evidence: Evidence): Promise<Check[]> {
  const { receipt } = signed
  return [
    judge(await isSignedByService(signed), {
      good: `signature: holds, by the key ${receipt.service_key}`,
      wrong: 'signature: does not hold; the receipt was changed, or is not by the key that it names',
    }),
    checkKey(receipt.service_key, evidence.key),
    judge(isServiceAddress(signed), {
      good: `service_address: ${receipt.service_address} is the address of that key`,
      wrong: `service_address: ${receipt.service_address} is not the address of that key`,
    }),
    checkHash('input', receipt.input_hash, evidence.input),
    checkHash('context', receipt.context_hash, evidence.context),
    checkHash('output', receipt.output_hash, evidence.output),
    await checkNode(signed),
  ]
}

const judge = (is: boolean, { good, wrong }: { good: string; wrong: string }): Check =>
  is ? { is: 'good', says: good } : { is: 'wrong', says: wrong }

const checkKey = (named: string, known: string | undefined): Check =>
  known === undefined
    ? { is: 'unknown', says: 'service_key: not compared; give the key that you know the service by with --key' }
    : judge(named === known, {
        good: 'service_key: is the one that was given',
        wrong: `service_key: is ${named}, not ${known}`,
      })

const checkHash = (name: 'input' | 'context' | 'output', hash: string, bytes: Uint8Array | undefined): Check =>
  bytes === undefined
    ? { is: 'unknown', says: `${name}_hash: not compared; give the ${name} with --${name} FILE` }
    : judge(sha256(bytes) === hash, {
        good: `${name}_hash: is that of the ${name} that was given`,
        wrong: `${name}_hash: is not that of the ${name} that was given, which is ${sha256(bytes)}`,
      })

async function checkNode(signed: SignedReceipt): Promise<Check> {
  const { node_signature, node_id } = signed.receipt
  if (node_signature === null)
    return { is: 'unknown', says: `node_signature: none; node ${node_id ?? 'unknown'} has not signed its result` }
  const holds = await isSignedByNode(signed)
  return holds === true
    ? {
        is: 'good',
        says: `node_signature: holds, by the key ${signed.receipt.node_key ?? ''} of node ${node_id ?? ''}`,
      }
    : { is: 'wrong', says: 'node_signature: does not hold for this output, attempt and node_key' }
}
