import type { NewTask } from '../../src/store/tasks.js'

/** A task as it is first written. Every value differs from every other of its type, so that none can be in the place of another. */
export const newTask: NewTask = {
  task_id: 't-1',
  user_address: 'user of a long address',
  user_input: 'input',
  context: 'context',
  fee: 1,
  nonce: 2,
  infer_fee: 3,
  max_infer_time: 4,
  model_type: 'family',
  model_name: 'Name',
  model_key: 'name',
  signed_tx: 'tx',
  signer_public_key: 'key',
  status: 'pending',
  attempt: 0,
  created_at: 5,
  updated_at: 6,
  queued_ms: 7,
  queue_rank: 8,
  inference_node_id: null,
  txid: null,
  paid_nonce: null,
  holds_payment: null,
  params: null,
  needs: 0,
  join_key: null,
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  owner_id: 'user of a long address', // the owner is the user, and what is stored is the end of it
}
