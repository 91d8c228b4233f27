/** What Prometheus is told, as far as a person looks at it. */
export interface Metrics {
  /** The samples of a name, added up whatever their labels; undefined where there is none. Of a quantile its label is part of the name. */
  sum(name: string): number | undefined
  /** The same by one of its labels. */
  by(name: string, label: string): ReadonlyMap<string, number>
}

const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? ([^ ]+)(?: \d+)?$/
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g

const labelsOf = (text: string): Map<string, string> =>
  new Map(
    [...text.matchAll(LABEL)].map(([, name = '', value = '']) => [
      name,
      value.replace(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c)),
    ]),
  )

/** Reads the text of `/metrics`; of buckets nothing is kept. */
export function readMetrics(text: string): Metrics {
  const samples = new Map<string, { labels: string; n: number }[]>()
  for (const line of text.split('\n')) {
    const found = line.startsWith('#') ? null : SAMPLE.exec(line)
    if (found === null) continue
    const [, name = '', labels = '', value = ''] = found
    const n = Number(value)
    if (!Number.isFinite(n) || name.endsWith('_bucket')) continue
    const quantile = /quantile="([^"]*)"/.exec(labels)?.[1]
    const key = quantile === undefined ? name : `${name} ${quantile}`
    const known = samples.get(key)
    if (known === undefined) samples.set(key, [{ labels, n }])
    else known.push({ labels, n })
  }
  return {
    sum: (name) => samples.get(name)?.reduce((all, { n }) => all + n, 0),
    by(name, label) {
      const sums = new Map<string, number>()
      for (const { labels, n } of samples.get(name) ?? []) {
        const value = labelsOf(labels).get(label)
        if (value !== undefined) sums.set(value, (sums.get(value) ?? 0) + n)
      }
      return sums
    },
  }
}

/** Their answers last as long as somebody reads, or as a model writes: they say nothing of how quick the service is. */
const LASTING = /^\/v1\/|\/events$/

/** The sum of a metric of routes over those whose answers are sent at once. */
export const sumOfAnswers = (metrics: Metrics, name: string): number =>
  [...metrics.by(name, 'route')].reduce((all, [route, n]) => (LASTING.test(route) ? all : all + n), 0)
