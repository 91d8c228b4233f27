import type { UndoLog } from '../../lib/undo-log.js'
import type { OpenAttempt } from '../../store/attempts.js'
import { withEntry, withoutEntry } from './entries.js'
import { createPrefetched } from './prefetched.js'
import type { Node, NodeState } from './node.js'

/**
 * The attempts that have not ended, and what each node holds of them. An attempt in memory is changed here only, so that it
 * is kept for the undo log.
 * @param change the registry's: the one way to change a node
 */
export function createOpenAttempts(
  nodes: ReadonlyMap<string, Node>,
  change: (node: Node, fn: (state: NodeState) => void) => void,
  undo: UndoLog,
) {
  const open = new Map<string, Readonly<OpenAttempt>>()
  const prefetched = createPrefetched(undo)
  /** When each node accepted something last, service clock, ms: a hint, which is not undone. */
  const accepts = new WeakMap<Node, number>()

  const changeAttempt = (attempt: Readonly<OpenAttempt>, columns: Partial<OpenAttempt>): void => {
    undo.keep(attempt)
    Object.assign(attempt, columns)
  }
  const givenTo = ({ node_id, node_epoch }: Pick<OpenAttempt, 'node_id' | 'node_epoch'>): Node | undefined => {
    const node = nodes.get(node_id)
    return node?.row.epoch === node_epoch ? node : undefined
  }
  const endOffer = (node: Node, taskId: string): void => {
    const length = node.offered.get(taskId)
    if (length === undefined) return
    change(node, (n) => {
      n.offered = withoutEntry(n.offered, taskId, undo)
      n.offeredLength -= length
    })
  }

  return {
    /** By task id. */
    open: open as ReadonlyMap<string, Readonly<OpenAttempt>>,
    prefetched,

    /** The node that an attempt was given to; undefined when it was forgotten, or its name is in other hands now. */
    givenTo,

    /** The node that it was given to holds the attempt from here on; one that was forgotten meanwhile holds nothing. */
    assign(attempt: OpenAttempt) {
      undo.keepEntry(open, attempt.task_id)
      open.set(attempt.task_id, attempt)
      const node = givenTo(attempt)
      if (node === undefined) return
      change(node, (n) => {
        n.held = withEntry(n.held, attempt.task_id, attempt, undo)
      })
    },

    /** Notes that an attempt was pushed; `accept` or `release` ends that. @param length of its texts, in UTF-16 units */
    offer(node: Node, taskId: string, length: number) {
      change(node, (n) => {
        n.offered = withEntry(n.offered, taskId, length, undo)
        n.offeredLength += length
      })
    },

    /**
     * What has waited at its node may take as long as any other from now on.
     * @param at service clock, ms @param wallSeconds the same by the wall clock
     * @returns whether its lease is another one now
     */
    accept(attempt: Readonly<OpenAttempt>, at: number, wallSeconds: number): boolean {
      const waited = prefetched.remove(attempt)
      const lease = waited === undefined ? attempt.lease_ms : Math.max(attempt.lease_ms, at + waited.inferMs)
      const isLonger = lease !== attempt.lease_ms
      changeAttempt(attempt, { accepted_ms: at, accepted_at: wallSeconds, lease_ms: lease })
      const node = givenTo(attempt)
      if (node !== undefined) {
        accepts.set(node, at)
        endOffer(node, attempt.task_id)
      }
      return isLonger
    },

    /** Whether a node has accepted something since a time, service clock, ms. */
    hasAcceptedSince: (node: Node, since: number): boolean => (accepts.get(node) ?? -Infinity) >= since,

    countHandout(attempt: Readonly<OpenAttempt>) {
      changeAttempt(attempt, { handouts: attempt.handouts + 1 })
    },

    /** The attempt has ended. @returns the node that held it */
    release(attempt: Readonly<OpenAttempt>): Node | undefined {
      const { task_id } = attempt
      undo.keepEntry(open, task_id)
      open.delete(task_id)
      prefetched.remove(attempt)
      const node = givenTo(attempt)
      if (node === undefined) return undefined
      endOffer(node, task_id)
      if (node.held.has(task_id)) {
        change(node, (n) => {
          n.held = withoutEntry(n.held, task_id, undo)
        })
      }
      return node
    },

    /** Gives every open lease at least until `time`, in memory. */
    extendLeases(time: number) {
      for (const attempt of open.values()) if (attempt.lease_ms < time) changeAttempt(attempt, { lease_ms: time })
    },
  }
}
