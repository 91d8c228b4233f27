/**
 * What the outside was promised and has seen, kept apart from the service: submissions that were acknowledged, ends that were
 * observed, and what nodes have computed. What contradicts itself is a violation at once.
 */
const FINAL = new Set(['completed', 'failed', 'timeout'])

export function createLedger() {
  const tasks = new Map()
  const ends = new Map()
  const runs = new Map()
  const sent = new Map()
  const violations = []
  const figures = {
    'observations of ends': 0,
    'reads older than what was known': 0,
    'answers lost or refused for now': 0,
    'sessions of nodes': 0,
    'tasks computed': 0,
    'attempts computed again by their node': 0,
  }
  const violate = (text) => {
    if (violations.length < 100) violations.push(text)
  }
  return {
    /** Acknowledged submissions by task id: `{ submission, round }`. */
    tasks,
    /** The first end that was seen of a task: `{ status, output, how, at }`, `at` on performance.now. */
    ends,
    /** Attempts that were computed, by task id: `{ attempt, node }`. */
    runs,
    violations,
    figures,
    violate,
    count: (figure) => figures[figure]++,

    /** I1 begins: from here on the task is there for ever. */
    acknowledged(submission, round) {
      if (!tasks.has(submission.task_id)) tasks.set(submission.task_id, { submission, round })
    },
    /**
     * I2: what somebody was told of a task.
     * @param output null where this way of asking does not say it
     * @param asked when it was asked, on performance.now
     */
    observed(taskId, status, output, how, asked = 0) {
      const before = ends.get(taskId)
      if (!FINAL.has(status)) {
        if (before !== undefined && before.at < asked) figures['reads older than what was known']++
        return
      }
      figures['observations of ends']++
      if (output !== null && status === 'completed' && !(sent.get(taskId)?.has(output) ?? false))
        violate(`I2: the output of ${taskId} (${how}) is not what a node has computed`)
      if (before === undefined) return void ends.set(taskId, { status, output, how, at: performance.now() })
      if (before.status !== status)
        violate(`I2: ${taskId} was ${before.status} (${before.how}) and is ${status} (${how})`)
      else if (before.output !== null && output !== null && before.output !== output)
        violate(`I2: ${taskId} had another output (${before.how}) than it has now (${how})`)
      before.output ??= output
    },
    /** A node begins an attempt: its number belongs to one node, for ever. */
    computes(taskId, attempt, node, output) {
      figures['tasks computed']++
      const own = runs.get(taskId) ?? []
      const before = own.find((run) => run.attempt === attempt)
      if (before !== undefined && before.node !== node)
        violate(`attempt ${attempt} of ${taskId} was given to ${before.node} and to ${node}`)
      if (before !== undefined) figures['attempts computed again by their node']++
      runs.set(taskId, [...own, { attempt, node }])
      sent.set(taskId, (sent.get(taskId) ?? new Set()).add(output))
    },
  }
}
