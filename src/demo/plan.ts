import { HANG } from './model-server.js'

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
  /** How it has to end. */
  ends: 'completed' | 'timeout'
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

/** Some dozens of tasks of several models and fees; the last one asks for more time than it allows. */
export function planTasks(count: number): PlannedTask[] {
  const tasks = Array.from({ length: count - 1 }, (_, i): PlannedTask => ({
    task_id: `demo-${String(i + 1).padStart(2, '0')}`,
    user_address: `ST1DEMO${i % 5}`,
    user_input: QUESTIONS[i % QUESTIONS.length] ?? '',
    context: 'Answer in one sentence.',
    fee: 180,
    nonce: i,
    infer_fee: 1000 + ((i * 37) % 10) * 500,
    max_infer_time: 60,
    model_name: MODELS[i % MODELS.length] ?? MODELS[0],
    ends: 'completed',
  }))
  const hopeless: PlannedTask = {
    task_id: 'demo-hopeless',
    user_address: 'ST1DEMO0',
    user_input: HANG,
    context: '',
    fee: 180,
    nonce: count,
    infer_fee: 9000,
    max_infer_time: 3,
    model_name: 'qwen-2-7b',
    ends: 'timeout',
  }
  return [...tasks, hopeless]
}
