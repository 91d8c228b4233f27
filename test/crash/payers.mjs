import { setTimeout as sleep } from 'node:timers/promises'
import { addressOf } from '../../dist/chain/address.js'
import { signInferTransaction } from '../../dist/chain/signing.js'
import { readKey } from '../../dist/wire/keys.js'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { ask, insist } from './clients.mjs'

/** So many payments of one payer are on their way at most: a miner holds no nonce that is more than 25 ahead. */
const ON_THEIR_WAY = 20
const FEE = 400

/** Who pays: the same for the same number. */
export function createPayer(number) {
  const secret = Buffer.alloc(32, 17 + number)
  const key = readKey(Buffer.from(secp256k1.getPublicKey(secret, true)).toString('hex'))
  return { name: `payer${number}`, privateKey: `${secret.toString('hex')}01`, address: addressOf(key, 'testnet') }
}

/** What a payer submits with this nonce. */
export function taskOf({ name, privateKey, address }, nonce) {
  const text = { user_input: `What is a lease? ${name} ${nonce}`, context: '', model_name: 'llama-3-8b' }
  const amount = 1000 + 10 * nonce
  const payment = { userInput: text.user_input, context: text.context, modelName: text.model_name }
  return {
    task_id: `${name}-${nonce}`,
    user_address: address,
    ...text,
    infer_fee: amount,
    fee: FEE,
    nonce,
    max_infer_time: 30,
    signed_tx: signInferTransaction({ network: 'testnet', privateKey, nonce, fee: FEE, amount, ...payment }).toString(
      'hex',
    ),
  }
}

/**
 * Submits tasks, nonce by nonce, until `world.enough`. A task that has come to nothing is submitted once more, with the same
 * payment: without it no later nonce could be mined. `world.unanswered` is how many submissions are on their way.
 * @param nonceOf the next nonce of an address on the chain
 */
export async function payer(world, who, nonceOf) {
  /** By nonce, the newest task that its payment is for. */
  const tasks = []
  const submit = async (task) => {
    world.unanswered++
    const answer = await insist(world, 'POST', '/api/v1/tasks/submit', task)
    world.unanswered--
    if (answer === null) return
    if (answer.status !== 200)
      return world.record.violate(`submit ${task.task_id}: ${answer.status} ${JSON.stringify(answer.body)}`)
    world.record.acknowledged(task)
    tasks[task.nonce] = task
  }
  while (!world.ended.aborted) {
    const next = nonceOf(who.address)
    const first = tasks[next]
    const status = first === undefined ? null : await ask(world, 'GET', `/api/v1/tasks/${first.task_id}/status`)
    if (status?.body?.data?.status === 'failed' || status?.body?.data?.status === 'timeout')
      await submit({ ...first, task_id: `${first.task_id}x` })
    else if (!world.enough.aborted && tasks.length - next < ON_THEIR_WAY) await submit(taskOf(who, tasks.length))
    await sleep(world.enough.aborted ? 50 : 5)
  }
}
