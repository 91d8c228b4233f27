import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readMetrics } from '../../web/src/state/metrics.js'
import { withQuery } from '../../web/src/parts/paths.js'
import { shellWord } from '../../web/src/parts/shell.js'

test('a name in a command that the page shows is one word to a shell, whatever a stranger has put into it', () => {
  expect(shellWord('llama-3-8b')).toBe('llama-3-8b')
  expect(shellWord("x'; rm -rf ~ #")).toBe(`'x'\\''; rm -rf ~ #'`)
  const text = fc.string({ minLength: 1, unit: 'grapheme' }).filter((s) => !s.includes('\0'))
  const texts = fc.sample(text, 200)
  const shown = execFileSync('bash', ['-c', `printf '%s\\0' ${texts.map(shellWord).join(' ')}`], { encoding: 'utf8' })
  expect(shown.split('\0').slice(0, -1)).toEqual(texts)
})

test('an address has what is filtered for, and nothing that is empty', () => {
  expect(withQuery('/dashboard/tasks', { status: null, model: '', node: undefined })).toBe('/dashboard/tasks')
  expect(withQuery('/x', { model: 'a&b=c #?', status: 'failed' })).toBe('/x?model=a%26b%3Dc+%23%3F&status=failed')
})

test('of what Prometheus is told the sums are read; what is no sample is passed over', () => {
  const metrics = readMetrics(`# HELP a_total Something
# TYPE a_total counter
a_total{model="x, y",end="o}k"} 3
a_total{model="z"} 4.5
lag_seconds{quantile="0.99"} 0.012
h_bucket{le="+Inf"} 7
h_sum 1.5
h_count 3
bad NaN
this is no sample
`)
  expect(Object.fromEntries(metrics)).toEqual({ a_total: 7.5, 'lag_seconds 0.99': 0.012, h_sum: 1.5, h_count: 3 })
  fc.assert(fc.property(fc.string(), (text) => readMetrics(text) instanceof Map))
})
