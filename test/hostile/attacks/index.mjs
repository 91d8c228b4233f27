import { bodyAttacks } from './bodies.mjs'
import { connectionAttacks } from './connections.mjs'
import { nodeAttacks } from './nodes.mjs'
import { readAttacks } from './reads.mjs'

/** All that one address does at once, by name: `what` it is, and `run(world)`, which goes on until the process ends. */
export const attacks = { ...connectionAttacks, ...bodyAttacks, ...readAttacks, ...nodeAttacks }
