import { createHash } from 'node:crypto'
import * as v from 'valibot'

// What a node answers, field by field. Fields that are not named here are left out.

/** A text that is kept: no node sends a longer one. */
export const textField = v.pipe(v.string(), v.maxLength(4096))

const digits = v.pipe(
  v.string(),
  v.regex(/^\d{1,20}$/),
  v.transform((n) => BigInt(n)),
)
/** The longest is a u128. */
const hexNumber = v.pipe(
  v.string(),
  v.regex(/^0x[0-9a-f]{1,32}$/i),
  v.transform((n) => BigInt(n)),
)
const safeNumber = v.pipe(v.number(), v.safeInteger(), v.minValue(0))

/** An amount, a nonce or a fee: a number, its digits, or hex with 0x. */
export const integerField = v.union([
  v.pipe(
    safeNumber,
    v.transform((n) => BigInt(n)),
  ),
  digits,
  hexNumber,
])

/** Bytes in hex, `0x` allowed; lower case and without it afterwards. */
export const hashField = (bytes: number) =>
  v.pipe(
    v.string(),
    v.regex(new RegExp(`^(?:0x)?[0-9a-f]{${bytes * 2}}$`, 'i')),
    v.transform((hex) => hex.replace(/^0x/, '').toLowerCase()),
  )

/** As many bytes as there are. */
export const bytesField = v.pipe(
  v.string(),
  v.check((hex) => hex.length % 2 === 0 && /^(?:0x)?[0-9a-f]*$/i.test(hex)),
  v.transform((hex) => Buffer.from(hex.replace(/^0x/, ''), 'hex')),
)

const tipFields = {
  burn_block_height: safeNumber,
  network_id: safeNumber,
  server_version: v.fallback(v.nullable(textField), null),
}

/** A Funai node's `/v2/info`, or that of a Stacks node, which has the same by other names. */
export const infoReply = v.pipe(
  v.union([
    v.object({
      ...tipFields,
      funai_tip_height: safeNumber,
      funai_tip: hashField(32),
      funai_tip_consensus_hash: hashField(20),
    }),
    v.object({
      ...tipFields,
      stacks_tip_height: safeNumber,
      stacks_tip: hashField(32),
      stacks_tip_consensus_hash: hashField(20),
    }),
  ]),
  v.transform((info) => {
    const [tipHeight, tip, tipConsensusHash] =
      'funai_tip' in info
        ? [info.funai_tip_height, info.funai_tip, info.funai_tip_consensus_hash]
        : [info.stacks_tip_height, info.stacks_tip, info.stacks_tip_consensus_hash]
    return {
      is: 'info' as const,
      tipHeight,
      tip,
      tipConsensusHash,
      indexBlockHash: indexBlockHash(tip, tipConsensusHash),
      burnHeight: info.burn_block_height,
      networkId: info.network_id,
      serverVersion: info.server_version,
    }
  }),
)
/** The tip of the chain as a node has it. Hashes in lower-case hex without 0x, heights in blocks; `networkId` is the chain id. */
export type ChainInfo = v.InferOutput<typeof infoReply>

export const accountReply = v.pipe(
  v.object({ balance: integerField, locked: integerField, unlock_height: safeNumber, nonce: integerField }),
  v.transform(({ balance, locked, unlock_height, nonce }) => ({
    is: 'account' as const,
    balance,
    locked,
    nonce,
    unlockHeight: unlock_height,
  })),
)
/** An account as of the tip: amounts in µSTX, `nonce` the next that can be mined, `unlockHeight` a burn height. */
export type ChainAccount = v.InferOutput<typeof accountReply>

export const txidReply = hashField(32)

export const unconfirmedReply = v.pipe(
  v.object({ tx: bytesField }),
  v.transform(({ tx }) => ({ is: 'held' as const, tx })),
)

export const inferResultReply = v.pipe(
  v.object({
    status: v.picklist(['Created', 'InProgress', 'Success', 'Failure', 'NotFound']),
    output_hash: v.fallback(textField, ''),
    inference_node_id: v.fallback(textField, ''),
  }),
  v.transform(({ status, output_hash, inference_node_id }) => ({
    is: 'result' as const,
    status,
    outputHash: output_hash === '' ? null : output_hash.toLowerCase(),
    nodeId: inference_node_id === '' ? null : inference_node_id,
  })),
)
/** What a miner has of an inference: `outputHash` SHA-256 in hex, `nodeId` the principal of the node, null where it says none. */
export type InferResult = v.InferOutput<typeof inferResultReply>

export const callReadReply = v.union([
  v.object({ okay: v.literal(true), result: v.pipe(v.string(), v.regex(/^0x[0-9a-f]{2,8192}$/i)) }),
  v.object({ okay: v.literal(false), cause: v.fallback(textField, '') }),
])

/** The name of a block that no other has, on whichever fork: SHA-512/256 of its hash and its consensus hash. All in hex. */
export const indexBlockHash = (blockHash: string, consensusHash: string): string =>
  createHash('sha512-256').update(blockHash, 'hex').update(consensusHash, 'hex').digest('hex')
