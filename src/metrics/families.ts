import { setImmediate } from 'node:timers/promises'
import { Gauge, Registry } from 'prom-client'
import type { Buckets } from './measures.js'
import { processMetrics } from './process.js'

/** The labels of a value, and the value. */
export type Value<T = number> = readonly [labels: Readonly<Record<string, string>>, value: T]

/** So much text is made in one turn of the event loop, ms: with 200 models it is a megabyte. */
const TURN_MS = 1
/** So many lines prom-client is given to write at once. */
const LINES_AT_ONCE = 250

/** A line as prom-client is given it. */
interface Line {
  metricName: string
  labels: Readonly<Record<string, string | number>>
  value: number
  exemplar: null
}
type Kind = 'counter' | 'gauge' | 'histogram'

/** A family whose values are kept elsewhere, some of them at a time: a registry asks it for them, and writes what it answers. */
class Piece extends Gauge {
  readonly #about: { name: string; help: string; type: Kind }
  lines: readonly Line[] = []

  constructor(name: string, help: string, type: Kind, labelNames: readonly string[], registry: Registry) {
    super({ name, help, labelNames: [...labelNames], registers: [registry] })
    this.#about = { name, help, type }
  }

  /** What a registry asks for first. */
  getForPromString() {
    return Promise.resolve({ ...this.#about, aggregator: 'sum', values: this.lines })
  }
}

interface Family {
  name: string
  piece: Piece
  /** Its lines; those of one value are together, for it may be counted on meanwhile. */
  read: () => Iterable<readonly Line[]>
}

function histogramLines(name: string, bounds: readonly number[], [labels, { buckets, sum }]: Value<Buckets>): Line[] {
  let below = 0
  const lines = [...bounds, Infinity].map((bound, i): Line => {
    below += buckets[i] ?? 0
    const le = bound === Infinity ? '+Inf' : bound
    return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: below, exemplar: null }
  })
  return [
    ...lines,
    { metricName: `${name}_sum`, labels, value: sum, exemplar: null },
    { metricName: `${name}_count`, labels, value: below, exemplar: null },
  ]
}

/** Metrics of what is kept elsewhere, read when somebody scrapes. */
export function createFamilies() {
  const registry = new Registry()
  const families: Family[] = []
  const simple =
    (type: 'counter' | 'gauge') =>
    (name: string, help: string, labelNames: readonly string[], read: () => readonly Value[]): void => {
      families.push({
        name,
        piece: new Piece(name, help, type, labelNames, registry),
        *read() {
          for (const [labels, value] of read()) yield [{ metricName: name, labels, value, exemplar: null }]
        },
      })
    }

  /** The text of a family, in parts. */
  async function* textOf({ name, piece, read }: Family): AsyncGenerator<string> {
    let begun = false
    const write = async (lines: readonly Line[]): Promise<string> => {
      piece.lines = lines
      const text = await registry.getSingleMetricAsString(name)
      // Every part comes with the two lines of the head.
      const part = begun ? text.slice(text.indexOf('\n', text.indexOf('\n') + 1)) : text
      begun = true
      return part
    }
    let lines: Line[] = []
    for (const more of read()) {
      lines.push(...more)
      if (lines.length < LINES_AT_ONCE) continue
      yield write(lines)
      lines = []
    }
    if (lines.length > 0 || !begun) yield write(lines)
  }

  return {
    counter: simple('counter'),
    gauge: simple('gauge'),
    histogram(
      name: string,
      help: string,
      labelNames: readonly string[],
      bounds: readonly number[],
      read: () => readonly Value<Buckets>[],
    ): void {
      families.push({
        name,
        piece: new Piece(name, help, 'histogram', labelNames, registry),
        *read() {
          for (const value of read()) yield histogramLines(name, bounds, value)
        },
      })
    },
    /**
     * All of them, and those of the process, in turns of the event loop that stay short: prom-client writes the text of a registry in one
     * piece, which takes tens of milliseconds with 150 models.
     */
    async text(): Promise<string> {
      let made = ''
      let began = performance.now()
      for (const family of families) {
        for await (const part of textOf(family)) {
          made += part
          if (performance.now() - began < TURN_MS) continue
          await setImmediate()
          began = performance.now()
        }
        made += '\n\n'
      }
      return `${made}${await processMetrics().metrics()}`
    },
  }
}
export type Families = Omit<ReturnType<typeof createFamilies>, 'text'>
