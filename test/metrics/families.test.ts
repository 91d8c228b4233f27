import { expect, test } from 'vitest'
import { createFamilies } from '../../src/metrics/families.js'

/** Of the families alone, without those of the process. */
const ours = (text: string): string => text.slice(0, text.indexOf('# HELP process_'))

test('families are told in the format of Prometheus, whatever is in their labels', async () => {
  const { counter, gauge, histogram, text } = createFamilies()
  counter('c_total', 'back\\slash\nand line', ['model', 'kind'], () => [
    [{ model: 'say "hi"\\\n', kind: 'é' }, 3],
    [{ model: 'm', kind: '' }, 0.5],
  ])
  gauge('g', 'none now', [], () => [])
  gauge('h', 'odd', [], () => [[{}, Infinity]])
  histogram('s_seconds', 'took', ['model'], [0.1, 1], () => [[{ model: 'm' }, { buckets: [2, 0, 1], sum: 7.5 }]])
  histogram('t', 'of all', [], [1], () => [[{}, { buckets: [1, 0], sum: -0.5 }]])
  expect(ours(await text())).toBe(`# HELP c_total back\\\\slash\\nand line
# TYPE c_total counter
c_total{model="say \\"hi\\"\\\\\\n",kind="é"} 3
c_total{model="m",kind=""} 0.5

# HELP g none now
# TYPE g gauge

# HELP h odd
# TYPE h gauge
h +Inf

# HELP s_seconds took
# TYPE s_seconds histogram
s_seconds_bucket{model="m",le="0.1"} 2
s_seconds_bucket{model="m",le="1"} 2
s_seconds_bucket{model="m",le="+Inf"} 3
s_seconds_sum{model="m"} 7.5
s_seconds_count{model="m"} 3

# HELP t of all
# TYPE t histogram
t_bucket{le="1"} 1
t_bucket{le="+Inf"} 1
t_sum -0.5
t_count 1

`)
})

test('a long text is made in many turns of the event loop', async () => {
  const { gauge, text } = createFamilies()
  const labels = Array.from({ length: 100_000 }, (_, i) => ({ model: `model-${i}` }))
  gauge('g', 'many', ['model'], () => labels.map((of, i) => [of, i] as const))
  let turns = 0
  let ended = false
  const turn = (): void => {
    turns++
    if (!ended) setImmediate(turn)
  }
  setImmediate(turn)
  const made = await text()
  ended = true
  expect(made.match(/^g\{/gm)).toHaveLength(100_000)
  expect(turns).toBeGreaterThan(10)
})
