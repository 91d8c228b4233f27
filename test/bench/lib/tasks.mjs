// The tasks every benchmark submits: told apart by a number, so that a lost, doubled or changed one is found.
const FILL = 'The quick brown fox jumps over the lazy dog. '.repeat(40)

/** 500 bytes of prompt that begin with the number. */
export const bodyOf = (number) => `${number}:${FILL}`.slice(0, 500)
/** What a node answers: 200 bytes. */
export const OUTPUT = FILL.slice(0, 200)

/** The submission of one task. `run` is anything without "/" that makes the ids of a run unlike those of others. */
export const submissionOf = (run, number) => ({
  task_id: `${run}_${number}`,
  user_address: 'ST1PQHQKV0RJXZFY1DGX8MNSNYVE3VGZJSRTPGZGM',
  user_input: bodyOf(number),
  context: '',
  infer_fee: 2500,
  max_infer_time: 300,
  model_name: 'llama-3-8b',
})

/** The number of a task from its id, checked against its prompt. */
export function numberOf(task) {
  const number = Number(task.task_id.slice(task.task_id.lastIndexOf('_') + 1))
  if (task.user_input !== bodyOf(number))
    throw new Error(`task ${task.task_id} came with another prompt than it was submitted with`)
  return number
}
