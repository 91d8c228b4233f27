import type { Node } from './node.js'

/** Whether a node has never completed anything, does nothing now, and no operator has said a word about it. */
const isIdle = ({ session, held, row }: Node): boolean =>
  session === null && held.size === 0 && row.successes === 0 && row.drained === 0

export type IdleNodes = ReturnType<typeof createIdleNodes>

/** The nodes that nobody would miss, the longest silent first: those to be forgotten, by and by or when there is no room. */
export function createIdleNodes() {
  const idle = new Set<Node>()

  const update = (node: Node): void => {
    const is = isIdle(node)
    if (is === node.idle) return
    node.idle = is
    if (is) idle.add(node)
    else idle.delete(node)
  }

  return {
    update,
    /** A sign of life: it is the last of them from here on. */
    markSeen(node: Node) {
      if (!node.idle) return
      idle.delete(node)
      idle.add(node)
    },
    /** The node is gone. */
    drop(node: Node) {
      idle.delete(node)
      node.idle = false
    },
    longestSilent(): Node | undefined {
      for (const node of idle) {
        update(node) // a result is counted after the commit, and may not be known here yet
        if (node.idle) return node
      }
      return undefined
    },
  }
}
