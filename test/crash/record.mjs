/**
 * What the outside has been promised, kept apart from the service: what was acknowledged to submitters and what was
 * settled with nodes. `now` stamps each promise (with the number of commits, where that is known).
 */
export function createRecord(now = () => 0) {
  const tasks = new Map()
  const results = new Map()
  const failures = new Map()
  const said = new Map()
  const given = new Map()
  const violations = []
  const figures = {
    'answers lost': 0,
    'results sent': 0,
    'results sent again': 0,
    'results too late': 0,
    'attempts resumed': 0,
  }
  return {
    /** Acknowledged submissions by task id: `{ submission, at }`. */
    tasks,
    /** Settled results by task id: `{ output, node, at }`. */
    results,
    /** Tasks that a node was told have failed for good: `{ at }`. */
    failures,
    violations,
    figures,
    violate: (text) => violations.push(text),

    acknowledged(submission) {
      if (!tasks.has(submission.task_id)) tasks.set(submission.task_id, { submission, at: now() })
    },
    /** A node was given an attempt: its number is never given again. */
    assigned(taskId, attempt, node) {
      const key = `${taskId} ${attempt}`
      const before = given.get(key)
      if (before !== undefined && before !== node)
        violations.push(`attempt ${attempt} of ${taskId} was given to ${before} and to ${node}`)
      given.set(key, node)
    },
    /** A node is about to send a result. */
    sends(taskId, node, output) {
      const key = `${taskId} ${node}`
      figures[said.has(key) ? 'results sent again' : 'results sent']++
      said.set(key, output)
    },
    hasSent: (taskId, node, output) => said.get(`${taskId} ${node}`) === output,
    settled(taskId, node, output) {
      const before = results.get(taskId)
      if (before !== undefined && before.node !== node)
        violations.push(`${taskId} was settled with ${before.node} and with ${node}`)
      if (failures.has(taskId)) violations.push(`${taskId} was settled as failed and as completed`)
      if (before === undefined) results.set(taskId, { output, node, at: now() })
    },
    failed(taskId) {
      if (results.has(taskId)) violations.push(`${taskId} was settled as completed and as failed`)
      if (!failures.has(taskId)) failures.set(taskId, { at: now() })
    },
  }
}
