/** Submissions that may wait for their answer; what is due beyond them is held back, and missing in the throughput. */
const MOST_WAITING = 1000

export const HONEST_USER = 'ST-honest'
/** What an honest node answers to a task: so that what is stored in the end can be compared. */
export const answerTo = (taskId) => `answer to ${taskId}`
/** Every 20th task asks for a model that only polling nodes serve. */
export const modelOf = (number) => (number % 20 === 0 ? 'gemma-2-9b' : 'llama-3-8b')
export const idOf = (number) => `h-${number}`
export const submissionOf = (number) => ({
  task_id: idOf(number),
  user_address: HONEST_USER,
  user_input: `what is ${number}? `.repeat(20),
  infer_fee: 2500,
  max_infer_time: 300,
  model_name: modelOf(number),
})

/** What the honest side was promised and what it got. @param most how many tasks there may be */
export function createLedger(most) {
  const acked = new Uint8Array(most)
  let last = 0
  let waiting = 0
  /** Results that were promised to be told, and have not been. */
  let missing = 0
  const fresh = () => ({ completed: 0, heldBack: 0, refused: {}, closed: [], wrong: [] })
  let now = fresh()
  const add = (list, text) => list.length < 50 && list.push(text)

  return {
    /** The number of a task that may be submitted; null when too many wait for their answer. */
    next() {
      if (waiting >= MOST_WAITING || last + 1 >= most) {
        now.heldBack++
        return null
      }
      waiting++
      return ++last
    },
    /** @param watched its result will be told */
    acknowledge(number, { watched = false } = {}) {
      waiting--
      if (watched) missing++
      acked[number] = 1
    },
    /** A submission was refused for good. */
    refuse(why) {
      waiting--
      now.refused[why] = (now.refused[why] ?? 0) + 1
    },
    /** Something else was refused or broke, and is tried again. */
    trouble(why) {
      now.refused[why] = (now.refused[why] ?? 0) + 1
    },
    completed: () => now.completed++,
    result: () => missing--,
    closed: (text) => add(now.closed, text),
    wrong: (text) => add(now.wrong, text),
    waiting: () => waiting,
    missing: () => missing,
    acknowledged: () => acked.subarray(0, last + 1),
    report() {
      const report = now
      now = fresh()
      return report
    },
  }
}
