import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { Buckets } from './measures.js'

/** The labels of a value, and the value. */
export type Value<T = number> = readonly [labels: Readonly<Record<string, string>>, value: T]

/** A histogram that somebody else has counted: it is read, and never observed. */
class ReadHistogram extends Histogram {
  readonly #about: { name: string; help: string }
  readonly #bounds: readonly number[]
  readonly #read: () => readonly Value<Buckets>[]

  constructor(
    about: { name: string; help: string; labelNames: string[] },
    bounds: readonly number[],
    registry: Registry,
    read: () => readonly Value<Buckets>[],
  ) {
    super({ ...about, buckets: [...bounds], registers: [registry] })
    this.#about = about
    this.#bounds = bounds
    this.#read = read
  }

  /** What the registry asks for first. */
  getForPromString() {
    const { name, help } = this.#about
    const values = this.#read().flatMap(([labels, { buckets, sum }]) => {
      let below = 0
      const lines = [...this.#bounds, Infinity].map((bound, i) => {
        below += buckets[i] ?? 0
        const le = bound === Infinity ? '+Inf' : bound
        return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: below, exemplar: null }
      })
      return [
        ...lines,
        { metricName: `${name}_sum`, labels, value: sum, exemplar: null },
        { metricName: `${name}_count`, labels, value: below, exemplar: null },
      ]
    })
    return Promise.resolve({ name, help, type: 'histogram', aggregator: 'sum', values })
  }
}

/** Makes metrics of what is kept elsewhere, read when somebody scrapes. */
export function createFamilies(registry: Registry) {
  return {
    counter(name: string, help: string, labelNames: readonly string[], read: () => readonly Value[]): void {
      new Counter({
        name,
        help,
        labelNames: [...labelNames],
        registers: [registry],
        collect() {
          this.reset()
          for (const [labels, value] of read()) this.inc(labels, value)
        },
      })
    },
    gauge(name: string, help: string, labelNames: readonly string[], read: () => readonly Value[]): void {
      new Gauge({
        name,
        help,
        labelNames: [...labelNames],
        registers: [registry],
        collect() {
          this.reset()
          const values = read()
          // One that has no value now is not there: 0 would be one.
          if (labelNames.length === 0 && values.length === 0) this.remove()
          for (const [labels, value] of values) this.set(labels, value)
        },
      })
    },
    histogram(
      name: string,
      help: string,
      labelNames: readonly string[],
      bounds: readonly number[],
      read: () => readonly Value<Buckets>[],
    ): void {
      new ReadHistogram({ name, help, labelNames: [...labelNames] }, bounds, registry, read)
    },
  }
}
export type Families = ReturnType<typeof createFamilies>
