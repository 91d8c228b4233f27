import type { Block, Mined } from './blocks.js'

/** What an observer is told of a block: the fields that a node has, as far as anybody reads them. */
export function blockBody(block: Block, miner: string): object {
  const { parent } = block
  return {
    block_hash: `0x${block.hash}`,
    block_height: block.height,
    index_block_hash: `0x${block.indexHash}`,
    parent_block_hash: `0x${parent?.hash ?? ZERO}`,
    parent_index_block_hash: `0x${parent?.indexHash ?? ZERO}`,
    burn_block_hash: `0x${burnHash(block.burnHeight)}`,
    burn_block_height: block.burnHeight,
    burn_block_time: 1_700_000_000 + block.burnHeight * 600,
    miner_txid: `0x${ZERO}`,
    events: block.mined.flatMap((one) => events(one, miner)),
    transactions: block.mined.map(({ payment, status }, tx_index) => ({
      txid: `0x${payment.txid}`,
      tx_index,
      status,
      raw_result: `0x${rawResult(status, payment.tx.outputHash)}`,
      raw_tx: `0x${payment.bytes.toString('hex')}`,
      contract_abi: null,
      execution_cost: { read_count: 0, read_length: 0, runtime: 0, write_count: 0, write_length: 0 },
    })),
  }
}

export const burnBlockBody = (burnHeight: number): object => ({
  burn_block_hash: `0x${burnHash(burnHeight)}`,
  burn_block_height: burnHeight,
  reward_recipients: [],
  reward_slot_holders: [],
  burn_amount: 0,
})

const ZERO = '00'.repeat(32)
const burnHash = (height: number): string => height.toString(16).padStart(64, '0')

/** `(ok <hash>)`, or `(err none)`. */
function rawResult(status: Mined['status'], outputHash: string): string {
  if (status !== 'success') return '0809'
  return `0702${(outputHash.length / 2).toString(16).padStart(8, '0')}${outputHash}`
}

function events({ payment, status, payee, paid }: Mined, miner: string): object[] {
  if (status !== 'success') return []
  const { txid, origin, tx } = payment
  const transfer = (event_index: number, recipient: string, amount: bigint): object => ({
    txid: `0x${txid}`,
    event_index,
    committed: true,
    type: 'stx_transfer_event',
    stx_transfer_event: { sender: origin, recipient, amount: `${amount}`, memo: '' },
  })
  return [
    transfer(0, payee, paid.payee),
    transfer(1, miner, paid.miner),
    {
      txid: `0x${txid}`,
      event_index: 2,
      committed: true,
      type: 'stx_infer_event',
      stx_infer_event: { sender: origin, infer_out_hash: tx.outputHash },
    },
  ]
}
