import { modelKey, UNKNOWN, type ModelTable } from '../../rules/models.js'
import type { Registry } from '../nodes/registry.js'
import type { Labels } from '../rates/labels.js'
import type { Tally } from '../rates/tally.js'

export interface Slots {
  nodes: number
  slots: number
  free_slots: number
}
const none = (): Slots => ({ nodes: 0, slots: 0, free_slots: 0 })

/**
 * How many slots there are, of all nodes that are there and by model; a node of a family counts where its tasks do that ask for just
 * the family, too. Looks at each node, and so only when somebody asks.
 */
export function createSlotCounts(
  registry: Pick<Registry, 'nodes' | 'isServing' | 'statusOf'>,
  models: ModelTable,
  labels: Labels,
) {
  /** The tallies of a list of models, while no name has got another one. */
  const known = new WeakMap<readonly string[], { version: number; tallies: readonly Tally[] }>()
  const talliesOf = (names: readonly string[]): readonly Tally[] => {
    const found = known.get(names)
    if (found?.version === labels.version()) return found.tallies
    const tallies = new Set<Tally>()
    for (const name of names) {
      const family = models.familyOf(name)
      tallies.add(labels.of(modelKey(name), family))
      const ofFamily = family === UNKNOWN ? undefined : labels.ofFamily(family)
      if (ofFamily !== undefined) tallies.add(ofFamily)
    }
    const list = [...tallies]
    known.set(names, { version: labels.version(), tallies: list })
    return list
  }

  /** @param now service clock, ms */
  return (now: number): { all: Slots; byTally: Map<Tally, Slots> } => {
    const all = none()
    const byTally = new Map<Tally, Slots>()
    for (const node of registry.nodes.values()) {
      const tallies = talliesOf(node.models)
      if (!registry.isServing(node, now)) continue
      const slots = node.row.max_concurrent_tasks
      const free = registry.statusOf(node, now) === 'online' ? Math.max(0, slots - node.held.size) : 0
      const add = (to: Slots): void => {
        to.nodes++
        to.slots += slots
        to.free_slots += free
      }
      add(all)
      for (const tally of tallies) {
        let of = byTally.get(tally)
        if (of === undefined) byTally.set(tally, (of = none()))
        add(of)
      }
    }
    return { all, byTally }
  }
}
export type SlotCounts = ReturnType<typeof createSlotCounts>
