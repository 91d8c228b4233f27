import { closeSync, fstatSync, openSync, readFileSync, readSync, statSync } from 'node:fs'
import { noise } from './random.mjs'

/** The layout of a WAL: https://sqlite.org/fileformat2.html#walformat */
const HEADER = 32
const FRAME_HEADER = 24
const SECTOR = 512

/**
 * Follows the files of a database from commit to commit, and remembers what each one left behind: what is surely on the
 * disk (the WAL up to its length at the last sync, the main file after the last checkpoint), and what was being written.
 */
export function followFiles(file) {
  /** Contents of the WAL between two restarts: `{ salts, bytes, before }`, `before` being what lay in the file then. */
  const generations = []
  let main = null
  let mainTime = -1n
  /** One a commit that is durable. */
  const moments = []
  /** Of commits that are not synced yet. */
  const unsynced = []

  const readMain = () => {
    const { mtimeNs } = statSync(file, { bigint: true })
    if (mtimeNs !== mainTime) {
      mainTime = mtimeNs
      main = readFileSync(file)
    }
    return main
  }
  /** Reads what the newest commit has added; returns where the newest commit ends. */
  const readWal = () => {
    const fd = openSync(`${file}-wal`, 'r')
    try {
      const header = Buffer.alloc(HEADER)
      if (readSync(fd, header, 0, HEADER, 0) < HEADER) return null
      const salts = header.subarray(16, 24)
      let generation = generations.at(-1)
      if (generation === undefined || !generation.salts.equals(salts)) {
        generation = {
          salts: Buffer.from(salts),
          bytes: header,
          before: generation === undefined ? Buffer.alloc(0) : wholeOf(generation),
        }
        generations.push(generation)
      }
      const from = generation.bytes.length
      const more = Buffer.alloc(Math.max(0, fstatSync(fd).size - from))
      readSync(fd, more, 0, more.length, from)
      const frame = FRAME_HEADER + header.readUInt32BE(8)
      let end = 0
      let committed = 0
      while (end + frame <= more.length && more.subarray(end + 8, end + 16).equals(salts)) {
        if (more.readUInt32BE(end + 4) !== 0) committed = end + frame
        end += frame
      }
      generation.bytes = Buffer.concat([generation.bytes, more.subarray(0, committed)])
      return generation
    } finally {
      closeSync(fd)
    }
  }

  return {
    moments,
    /** Call before a commit: a checkpoint that it does changes the main file. */
    before: readMain,
    /** Call when a commit is over. */
    committed() {
      const mainBefore = main
      const generation = readWal()
      const mainAfter = readMain()
      unsynced.push({
        generation,
        end: generation?.bytes.length ?? 0,
        mainBefore,
        main: mainAfter,
        checkpointed: mainAfter !== mainBefore,
      })
    },
    /** Call when the oldest commit that was not durable is. */
    synced: () => void moments.push(unsynced.shift()),
    /** Call after a close, which copies everything into the main file and empties the WAL. */
    closed() {
      const last = moments.at(-1)
      const mainBefore = last.main
      moments.push({ ...last, mainBefore, main: readMain(), checkpointed: true, closing: true })
    },
  }
}

/** The whole file: what the generation has written, and behind it what lay there before. */
const wholeOf = ({ bytes, before }, end = bytes.length) => Buffer.concat([bytes.subarray(0, end), before.subarray(end)])

/** Writes `source` over `target` from `at` on, sector by sector, each only with a chance. */
function scatter(target, source, at, chance) {
  const out = Buffer.concat([target, Buffer.alloc(Math.max(0, at + source.length - target.length))])
  for (let i = 0; i < source.length;) {
    const next = Math.min(source.length, i + SECTOR - ((at + i) % SECTOR))
    if (chance()) source.copy(out, at + i, i, next)
    i = next
  }
  return out
}

const some = (choice, n, ...name) => Math.floor(choice(...name) * n)

/** Every way in which the WAL may end behind its last sync. */
const tails = {
  nothing: (wal, end) => wal.subarray(0, end),
  'what lay there before': (wal) => wal,
  'random bytes': (wal, end, _next, choice, i) =>
    Buffer.concat([wal.subarray(0, end), noise(i, 'tail', 1 + some(choice, 30_000, 'tail', i))]),
  zeros: (wal, end, _next, choice, i) =>
    Buffer.concat([wal.subarray(0, end), Buffer.alloc(1 + some(choice, 30_000, 'tail', i))]),
  'the next commits, cut anywhere': (wal, end, next, choice, i) =>
    Buffer.concat([wal.subarray(0, end), next.subarray(0, some(choice, next.length + 1, 'cut', i))]),
  'the next commits, some sectors of them': (wal, end, next, choice, i) => {
    let n = 0
    return scatter(wal, next, end, () => choice('sector', i, n++) < 0.6)
  },
  'the next commits with one bit wrong': (wal, end, next, choice, i) => {
    const out = scatter(wal, next, end, () => true)
    if (next.length > 0) out[end + some(choice, next.length, 'byte', i)] ^= 1 << some(choice, 8, 'bit', i)
    return out
  },
}

/**
 * One image of the folder as a power cut could leave it: `{ kind, main, wal, commits }`; what the first `commits` commits
 * hold must be in it. Null when no commit of the run gives an image of this kind.
 */
export function imageOf(moments, kind, choice, i) {
  const pick = (list) => list[some(choice, list.length, 'moment', i)]
  if (kind === 'wal torn') {
    const at = pick(
      moments.map((_, k) => k).filter((k) => moments[k].generation !== null && moments[k].closing !== true),
    )
    const { generation, end, main } = moments[at]
    const later = moments[Math.min(at + 1 + some(choice, 4, 'later', i), moments.length - 1)]
    const next = later.generation === generation ? generation.bytes.subarray(end, later.end) : Buffer.alloc(0)
    const names = Object.keys(tails)
    const tail = names[i % names.length]
    return {
      kind: `${kind}: ${tail}`,
      main,
      wal: tails[tail](wholeOf(generation, end), end, next, choice, i),
      commits: at + 1,
    }
  }
  if (kind === 'checkpoint half done') {
    const at = pick(moments.map((_, k) => k).filter((k) => moments[k].checkpointed && moments[k].generation !== null))
    if (at === undefined) return null
    // The WAL is complete and synced, the commit that began the checkpoint with it; the main file is anything in between.
    const { generation, end, mainBefore, main, closing } = moments[at]
    let n = 0
    const share = choice('share', i)
    const mixed = scatter(mainBefore, main, 0, () => choice('page', i, n++) < share)
    const length = mainBefore.length + some(choice, (main.length - mainBefore.length) / 4096 + 1, 'length', i) * 4096
    return {
      kind: closing ? `${kind}, at a stop` : kind,
      main: mixed.subarray(0, length),
      wal: wholeOf(generation, end),
      commits: at + 1,
    }
  }
  // The first commit after a complete checkpoint begins the WAL anew: its header is synced before the first frame is written.
  const at = pick(
    moments
      .map((_, k) => k)
      .filter(
        (k) => k > 0 && moments[k - 1].generation !== null && moments[k].generation !== moments[k - 1].generation,
      ),
  )
  if (at === undefined) return null
  const { generation, end } = moments[at]
  const stage = choice('stage', i)
  let n = 0
  const wal =
    stage < 0.3
      ? scatter(generation.before, generation.bytes.subarray(0, some(choice, HEADER + 1, 'header', i)), 0, () => true)
      : scatter(
          scatter(generation.before, generation.bytes.subarray(0, HEADER), 0, () => true),
          generation.bytes.subarray(HEADER, end),
          HEADER,
          () => choice('sector', i, n++) < stage,
        )
  return { kind, main: moments[at - 1].main, wal, commits: at }
}
