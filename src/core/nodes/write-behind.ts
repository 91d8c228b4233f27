import type { Store } from '../../store/store.js'
import type { Node } from './node.js'

/** A node's signs of life and figures are written no more often than this, ms. */
const WRITE_EVERY_MS = 30_000

export type WriteBehind = ReturnType<typeof createWriteBehind>

/**
 * Which rows of nodes memory is ahead of, in an order in which nobody has to look at all nodes to find those that are due.
 * @param keep called before a row is written: if the turn is undone, the row is `changed` again
 */
export function createWriteBehind(store: Store, keep: (node: Node) => void) {
  /** To be written next. */
  const due = new Set<Node>()
  /** Written within WRITE_EVERY_MS, the longest ago first. */
  const recentlyWritten = new Set<Node>()

  /** The row counts as written: nothing of it is worth a write for a while. */
  const markClean = (node: Node, now: number): void => {
    due.delete(node)
    recentlyWritten.delete(node)
    recentlyWritten.add(node)
    node.writtenAt = now
  }
  const write = (node: Node, now: number): void => {
    keep(node)
    store.nodes.save(node.row)
    node.dirty = false
    markClean(node, now)
  }

  return {
    markClean,
    write,

    /** The row is to be written, later and with others. */
    changed(node: Node) {
      node.dirty = true
      if (!recentlyWritten.has(node)) due.add(node)
    },

    /** What was written of the row was undone: it is due at once. */
    writeUndone(node: Node) {
      node.dirty = true
      recentlyWritten.delete(node)
      due.add(node)
    },

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
