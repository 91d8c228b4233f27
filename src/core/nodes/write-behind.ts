import type { Store } from '../../store/store.js'
import type { Node } from './node.js'

/** A node's signs of life and figures are written no more often than this, ms. */
const WRITE_EVERY_MS = 30_000

export type WriteBehind = ReturnType<typeof createWriteBehind>

/**
 * Which rows of nodes memory is ahead of, in an order in which nobody has to look at all nodes to find those that are due.
 * @param undo takes back that a row counts as written, in case the turn that wrote it is undone
 */
export function createWriteBehind(store: Store, undo: (step: () => void) => void) {
  /** To be written next. */
  const due = new Set<Node>()
  /** Written within SAVE_EVERY, the longest ago first. */
  const recentlyWritten = new Set<Node>()

  const changed = (node: Node): void => {
    node.dirty = true
    if (!recentlyWritten.has(node)) due.add(node)
  }
  /** The row counts as written: nothing of it is worth a write for a while. */
  const markClean = (node: Node, now: number): void => {
    due.delete(node)
    recentlyWritten.delete(node)
    recentlyWritten.add(node)
    node.writtenAt = now
  }
  const write = (node: Node, now: number): void => {
    store.nodes.save(node.row)
    node.dirty = false
    markClean(node, now)
    undo(() => {
      recentlyWritten.delete(node)
      changed(node)
    })
  }

  return {
    changed,
    rest: markClean,
    write,

    /** The node is gone: it must not be written again. */
    forget(node: Node) {
      due.delete(node)
      recentlyWritten.delete(node)
    },

    /** Writes up to `most` rows that are due. */
    writeDue(now: number, most: number) {
      for (const node of recentlyWritten) {
        if (now - node.writtenAt < WRITE_EVERY_MS) break
        recentlyWritten.delete(node)
        if (node.dirty) due.add(node)
      }
      let written = 0
      for (const node of due) {
        if (written++ >= most) return
        write(node, now)
      }
    },
  }
}
