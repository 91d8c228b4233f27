import { createHash } from 'node:crypto'

/**
 * Decisions by name: the same seed and the same name give the same number (0 to 1), whatever the order in which they
 * are asked for. So a seed replays what was decided although sockets and disks take their own time.
 */
export const createChoice =
  (seed) =>
  (...name) =>
    createHash('sha256')
      .update(`${seed} ${name.join(' ')}`)
      .digest()
      .readUIntBE(0, 6) /
    2 ** 48

/** Bytes by name. */
export function noise(seed, name, length) {
  const blocks = []
  for (let i = 0; i * 32 < length; i++) blocks.push(createHash('sha256').update(`${seed} ${name} ${i}`).digest())
  return Buffer.concat(blocks).subarray(0, length)
}

/** `--kills 200 --seed 7` as `{ kills: '200', seed: '7' }`. */
export function readFlags(argv, known) {
  const flags = { ...known }
  for (let i = 0; i < argv.length; i += 2) {
    const name = argv[i].replace(/^--/, '')
    if (!(name in known) || argv[i + 1] === undefined)
      throw new Error(
        `unknown flag ${argv[i]}; known: ${Object.keys(known)
          .map((k) => `--${k} <value>`)
          .join(' ')}`,
      )
    flags[name] = argv[i + 1]
  }
  return flags
}
