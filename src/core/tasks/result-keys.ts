import type { Context } from '../context.js'
import type { Node } from '../nodes/node.js'
import type { NodeRow } from '../../store/schema.js'
import { normalizeKey } from '../../wire/keys.js'

type Known = Pick<NodeRow, 'epoch' | 'public_key' | 'key_proven'>

/**
 * Keeps under which keys results came, for their receipts: a row is written when the key of a node is another one than at its result
 * before, so that nearly every result costs a look at memory only.
 */
export function createResultKeys(ctx: Context) {
  let known = new WeakMap<Node, Known>()
  ctx.undo.onRollback(() => {
    known = new WeakMap()
  })
  return {
    /** This node has brought a result now. */
    note(node: Node): void {
      const { node_id, epoch, public_key, key_proven } = node.row
      const before = known.get(node)
      if (before?.public_key === public_key && before.epoch === epoch && before.key_proven === key_proven) return
      ctx.store.resultProofs.noteKey({
        node_id,
        node_epoch: epoch,
        since_ms: ctx.now,
        public_key: normalizeKey(public_key),
        proven: key_proven,
      })
      known.set(node, { epoch, public_key, key_proven })
    },
  }
}
