// The hostile side, in a process of its own, from one address; it goes on until the process ends. It yields the processor to
// everybody else: what is to be measured is the service, and not who gets the machine.
import { setPriority } from 'node:os'
import { serveCalls } from '../bench/lib/children.mjs'
import { createRandom } from '../fuzz/random.mjs'
import { attacks } from './attacks/index.mjs'
import { makeLargeResult } from './attacks/large-result.mjs'
import { createReach } from './attacks/reach.mjs'

setPriority(5)

let worlds = []

serveCalls({
  /** Gets ready: makes the large result that some attacks read, with a node and a task of its own. */
  async prepare({ url, from, seed, names }) {
    const random = createRandom(seed)
    const large = await makeLargeResult(url, from)
    worlds = names.map((name) => {
      const counts = {}
      const note = (what, n = 1) => (counts[what] = (counts[what] ?? 0) + n)
      const reach = createReach({ url, from, note })
      return { name, counts, url, from, note, large, random: createRandom(random.below(2 ** 32)), ...reach }
    })
  },
  begin() {
    for (const world of worlds) void attacks[world.name].run(world)
  },
  /** What each attack did, and how it was answered, so far. */
  counts: () => Object.fromEntries(worlds.map(({ name, counts }) => [name, counts])),
})
