import { HANG } from './model-server.js'
import { createWallet, type Wallet } from './wallet.js'

export interface PlannedTask {
  task_id: string
  user_address: string
  user_input: string
  context: string
  fee: number
  nonce: number
  infer_fee: number
  max_infer_time: number
  model_name: string
  signed_tx: string
  /** How it has to end: with a payment that a miner holds, or without a result. */
  ends: 'submitted' | 'timeout'
}

export const MODELS = ['llama-3-8b', 'mistral-7b', 'deepseek-r1', 'gemma-2-9b'] as const
const QUESTIONS = [
  'What is a group commit?',
  'Why is the sky blue?',
  'What does a lease protect?',
  'Who was Ada Lovelace?',
  'How long is a block?',
  'What is proof of transfer?',
]
const USERS = 5
/** For the miner, micro-STX: more than one for each byte of a transaction. */
const FEE = 600
/** What every user has at the begin, micro-STX: enough for all of his tasks. */
const BALANCE = 1_000_000

export interface Plan {
  tasks: PlannedTask[]
  /** What every user has, by address, micro-STX. */
  balances: Record<string, number>
}

/** Some dozens of paid tasks of several models, users and fees; the last one asks for more time than it allows. */
export function planTasks(count: number): Plan {
  const users = Array.from({ length: USERS }, (_, i) => ({ wallet: createWallet(`user ${i}`), nonce: 0 }))
  const task = (
    user: { wallet: Wallet; nonce: number },
    given: Pick<
      PlannedTask,
      'task_id' | 'user_input' | 'context' | 'infer_fee' | 'max_infer_time' | 'model_name' | 'ends'
    >,
  ): PlannedTask => {
    const { user_input: userInput, model_name: modelName, context, infer_fee: amount } = given
    const nonce = user.nonce++
    const signed_tx = user.wallet.sign({ nonce, fee: FEE, amount, userInput, context, modelName })
    return { ...given, user_address: user.wallet.address, fee: FEE, nonce, signed_tx }
  }
  const tasks = Array.from({ length: count }, (_, i): PlannedTask => {
    const user = users[i % USERS] ?? { wallet: createWallet('nobody'), nonce: 0 }
    // The one without a result comes last: its nonce stays unused, and nothing of its user waits above it.
    if (i === count - 1)
      return task(user, {
        task_id: 'demo-hopeless',
        user_input: HANG,
        context: '',
        infer_fee: 9000,
        max_infer_time: 3,
        model_name: 'qwen-2-7b',
        ends: 'timeout',
      })
    return task(user, {
      task_id: `demo-${String(i + 1).padStart(2, '0')}`,
      user_input: QUESTIONS[i % QUESTIONS.length] ?? '',
      context: 'Answer in one sentence.',
      infer_fee: 1000 + ((i * 37) % 10) * 500,
      max_infer_time: 60,
      model_name: MODELS[i % MODELS.length] ?? MODELS[0],
      ends: 'submitted',
    })
  })
  return { tasks, balances: Object.fromEntries(users.map(({ wallet }) => [wallet.address, BALANCE])) }
}
