/** Milliseconds of CLOCK_MONOTONIC: the same clock in every process of this machine. */
export const now = () => Number(process.hrtime.bigint()) / 1e6

const sorted = (list) => Float64Array.from(list).sort()

/** The value below which `p` (0 to 1) of the list lies; NaN of nothing. */
export function percentile(list, p) {
  const s = sorted(list)
  return s.length === 0 ? NaN : s[Math.min(s.length - 1, Math.max(0, Math.ceil(p * s.length) - 1))]
}

export function median(list) {
  const s = sorted(list)
  const half = s.length >> 1
  return s.length === 0 ? NaN : s.length % 2 === 1 ? s[half] : (s[half - 1] + s[half]) / 2
}

/** Of the figures of several runs: the median, the least and the most, and all of them. */
export const spread = (list) => ({
  median: median(list),
  min: Math.min(...list),
  max: Math.max(...list),
  samples: [...list],
})

/** The mean of figures, and its standard error: how far the mean of as many others would lie from it, mostly. */
export function meanOf(list) {
  const mean = list.reduce((sum, x) => sum + x, 0) / list.length
  const variance = list.reduce((sum, x) => sum + (x - mean) ** 2, 0) / Math.max(1, list.length - 1)
  return { mean, error: Math.sqrt(variance / list.length) }
}

/** Of many latencies: how many, p50, p90, p99 and the worst. */
export function latency(list) {
  const s = sorted(list)
  const at = (p) => (s.length === 0 ? NaN : s[Math.min(s.length - 1, Math.max(0, Math.ceil(p * s.length) - 1))])
  return { n: s.length, p50: at(0.5), p90: at(0.9), p99: at(0.99), max: s.length === 0 ? NaN : s[s.length - 1] }
}

/** Of two lists of runs that were made in turns: the ratio of each pair, as a spread. */
export const ratios = (ours, theirs) => spread(ours.slice(0, theirs.length).map((x, i) => x / theirs[i]))

/** A number with as many digits as are worth reading. */
export function show(x, unit = '') {
  if (!Number.isFinite(x)) return '-'
  const size = Math.abs(x)
  const text =
    size >= 1000
      ? Math.round(x).toLocaleString('en-US')
      : size >= 100
        ? x.toFixed(0)
        : size >= 10
          ? x.toFixed(1)
          : x.toFixed(2)
  return text + unit
}
/** `median [min..max]`; just the figure of one run. */
export const showSpread = (s, unit = '') =>
  s.samples.length > 1 ? `${show(s.median)} [${show(s.min)}..${show(s.max)}]${unit}` : show(s.median, unit)
export const showLatency = (l) => `${show(l.p50)} / ${show(l.p99)}`
