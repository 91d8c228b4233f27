/** What Prometheus is told, as far as a person looks at it: the sums of each name, whatever its labels. */
export type Metrics = ReadonlyMap<string, number>

const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? ([^ ]+)(?: \d+)?$/

/**
 * Reads the text of `/metrics`. Samples of one name are added up; of a quantile the label is part of the name, and of a bucket
 * nothing is kept.
 */
export function readMetrics(text: string): Metrics {
  const sums = new Map<string, number>()
  for (const line of text.split('\n')) {
    const found = line.startsWith('#') ? null : SAMPLE.exec(line)
    if (found === null) continue
    const [, name = '', labels = '', value = ''] = found
    const n = Number(value)
    if (!Number.isFinite(n) || name.endsWith('_bucket')) continue
    const quantile = /quantile="([^"]*)"/.exec(labels)?.[1]
    const key = quantile === undefined ? name : `${name} ${quantile}`
    sums.set(key, (sums.get(key) ?? 0) + n)
  }
  return sums
}
