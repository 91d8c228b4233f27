import {
  closeSync,
  fdatasyncSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { availableParallelism, cpus, loadavg, release, tmpdir, totalmem } from 'node:os'
import { join, resolve } from 'node:path'
import { latency, now, show } from './measure.mjs'

/** How long one fdatasync of 4 KiB appended takes in the temporary folder, ms. */
export function flushLatency(times = 100) {
  const folder = mkdtempSync(join(tmpdir(), 'bench-flush-'))
  const fd = openSync(join(folder, 'file'), 'w')
  const block = Buffer.alloc(4096, 1)
  try {
    writeSync(fd, block)
    fsyncSync(fd)
    return latency(
      Array.from({ length: times }, () => {
        writeSync(fd, block)
        const t = now()
        fdatasyncSync(fd)
        return now() - t
      }),
    )
  } finally {
    closeSync(fd)
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The kind of the filesystem a folder is on: the mount that is the longest prefix of its path. */
function filesystemOf(folder) {
  try {
    const mounts = readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .map((line) => line.split(' '))
    const over = mounts.filter(
      ([, at]) => at !== undefined && (at === '/' || folder === at || folder.startsWith(`${at}/`)),
    )
    return over.sort((a, b) => a[1].length - b[1].length).at(-1)?.[2] ?? 'unknown'
  } catch {
    return `type ${statfsSync(folder).type}`
  }
}

/** What the figures depend on. */
export function machine() {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memory_gib: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    kernel: release(),
    filesystem: filesystemOf(resolve(tmpdir())),
    flush_ms: flushLatency(),
    load: loadavg(),
    at: new Date().toISOString(),
  }
}

/** Prints rows of cells with their columns in line; the first row is the head. Figures go to the right, words to the left. */
export function printTable(rows, words = 1) {
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => String(row[i] ?? '').length)))
  const line = (row) =>
    row
      .map((cell, i) => (i < words ? String(cell ?? '').padEnd(widths[i]) : String(cell ?? '').padStart(widths[i])))
      .join('  ')
      .trimEnd()
  console.log([line(rows[0]), widths.map((w) => '-'.repeat(w)).join('  '), ...rows.slice(1).map(line)].join('\n'))
}

/**
 * The report of one benchmark: says what it finds as it goes, and keeps all of it.
 * `say(line)`, `table(title, rows)`; `raw(name, samples)` keeps samples; `summary(name, text, value)` is a line for the short
 * pass over all benchmarks; `finish()` writes NAME.json into the folder and gives its path.
 */
export function createReport(name, options) {
  const about = machine()
  const kept = { name, options, machine: about, tables: [], raw: {}, summary: [] }
  const say = (line) => console.log(line)
  say(
    `${name}: ${about.cpu}, ${about.cores} cores, ${about.memory_gib} GiB; Node ${about.node}, Linux ${about.kernel}; ${about.filesystem}, fdatasync ${show(about.flush_ms.p50)} ms (p99 ${show(about.flush_ms.p99)}); load ${about.load.map((x) => x.toFixed(1)).join(' ')}`,
  )
  return {
    say,
    table(title, rows) {
      say(`\n${title}`)
      printTable(rows)
      kept.tables.push({ title, rows })
    },
    raw: (key, samples) => void (kept.raw[key] = samples),
    summary: (what, text, value) => void kept.summary.push({ what, text, value }),
    finish() {
      kept.load_after = loadavg()
      const folder = options.out ? resolve(options.out) : mkdtempSync(join(tmpdir(), 'bench-report-'))
      mkdirSync(folder, { recursive: true })
      const file = join(folder, `${name}.json`)
      writeFileSync(
        file,
        `${JSON.stringify(kept, (_, value) => (ArrayBuffer.isView(value) ? [...value] : value), 1)}\n`,
      )
      say(`\nall samples: ${file}`)
      return file
    },
  }
}
