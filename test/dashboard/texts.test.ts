import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readMetrics, sumOfAnswers } from '../../web/src/state/metrics.js'
import { withQuery } from '../../web/src/parts/paths.js'
import { shellWord } from '../../web/src/parts/shell.js'
import { en } from '../../web/src/words/en.js'

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

test('of what Prometheus is told the sums are read, and the parts by a label; what is no sample is passed over', () => {
  const metrics = readMetrics(`# HELP a_total Something
# TYPE a_total counter
a_total{model="x, y",end="o}k"} 3
a_total{model="z",end="say \\"no\\""} 4.5
a_total{model="z"} 2
lag_seconds{quantile="0.99"} 0.012
h_bucket{le="+Inf"} 7
h_sum 1.5
bad NaN
this is no sample
`)
  const names = ['a_total', 'lag_seconds 0.99', 'h_sum', 'h_bucket', 'bad', 'this']
  expect(names.map((name) => metrics.sum(name))).toEqual([9.5, 0.012, 1.5, undefined, undefined, undefined])
  expect([...metrics.by('a_total', 'model')]).toEqual([['x, y', 3], ['z', 6.5]]) // prettier-ignore
  expect([...metrics.by('a_total', 'end')]).toEqual([['o}k', 3], ['say "no"', 4.5]]) // prettier-ignore
  expect([...metrics.by('none', 'end')]).toEqual([])
  fc.assert(fc.property(fc.string(), (text) => readMetrics(text).sum(text) === undefined || text !== ''))
})

test('one of something is called otherwise than many', () => {
  const one = { n: 1, text: '1' }
  const many = { n: 2000, text: '2,000' }
  const { node, bulk, fleet, cluster } = en
  expect([node.because.model(one), node.because.model(many)]).toEqual([
    '1 waiting task is for a model that it does not serve.',
    '2,000 waiting tasks are for models that it does not serve.',
  ])
  expect([cluster.behind(one, '2s'), cluster.behind(many, '2s')]).toEqual(['1 record, for 2s', '2,000 records, for 2s']) // prettier-ignore
  expect([bulk.confirm.cancel(one), bulk.confirm.cancel(many)]).toEqual(['Cancel 1 task', 'Cancel 2,000 tasks'])
  expect([fleet.counts(one, '0'), fleet.counts(many, '0')]).toEqual(['1 node there, 0 waiting', '2,000 nodes there, 0 waiting']) // prettier-ignore
})

test('the time of a request is of answers that are sent at once: neither a feed nor the writing of a model is in it', () => {
  const metrics = readMetrics(`x_sum{route="/api/v1/stats",method="GET"} 2
x_sum{route="/api/v1/events",method="GET"} 36000
x_sum{route="/api/v1/tasks/{task_id}/events",method="GET"} 50
x_sum{route="/v1/chat/completions",method="POST"} 12
x_sum{route="/api/v1/tasks",method="GET"} 1`)
  expect([metrics.sum('x_sum'), sumOfAnswers(metrics, 'x_sum'), sumOfAnswers(metrics, 'y_sum')]).toEqual([36065, 3, 0])
})
