import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ignoredNames } from '../../src/http/ignored-query.js'
import { exchange } from '../support/raw-http.js'
import { startService } from '../support/service.js'

const HARMLESS = /^(?:[A-Za-z0-9\-_.!~*'()]|%[0-9A-F]{2})+$/
const known = new Set(['limit', 'status'])

test('names that a route does not know are named once each, in their order', () => {
  for (const [url, names] of [
    ['/api/v1/tasks', null],
    ['/api/v1/tasks?', null],
    ['/api/v1/tasks?limit=1&status=pending', null],
    ['/api/v1/tasks?li%6Dit=1', null],
    ['/api/v1/tasks?stauts=pending&limit=1', 'stauts'],
    ['/api/v1/tasks?b&a=1&b=2&=3&&c', 'b, a, c'],
    ['/api/v1/tasks?a+b=1&a%20b=2', 'a%20b'],
    ['/api/v1/tasks?a,b=1&%0d%0aX:1=2&%ff=1&%=1', 'a%2Cb, %0D%0AX%3A1, %25ff, %25'],
    ['/api/v1/tasks?%C3%BC=1', '%C3%BC'],
    [`/api/v1/tasks?${'x'.repeat(63)}%C3%BC=1`, 'x'.repeat(63)],
  ] as const)
    expect([url, ignoredNames(url, known)]).toEqual([url, names])
})

test('whatever is in a query, at most ten names are shown, each short and harmless', () => {
  const part = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 8 }),
    fc.constantFrom('%', '%ff', '&', '=', '+', 'limit', 'x'.repeat(62), 'ü'.repeat(40)),
  )
  fc.assert(
    fc.property(fc.array(part, { maxLength: 15 }), (parts) => {
      const names = ignoredNames(`/api/v1/tasks?${parts.join('&')}`, known)
      if (names === null) return
      const list = names.split(', ')
      expect(list.length).toBeLessThanOrEqual(10)
      expect(new Set(list).size).toBe(list.length)
      expect(list.filter((name) => name.length > 64 || !HARMLESS.test(name))).toEqual([])
    }),
  )
})

test('a route about tasks names them in its answer, and does what it does', async () => {
  const service = await startService()
  const id = await service.submit()
  for (const [method, path, status, names] of [
    ['GET', '/api/v1/tasks?modle=llama&limit=5', 200, 'modle'],
    ['GET', '/api/v1/tasks?limit=x&modle=1', 400, 'modle'],
    ['GET', '/api/v1/tasks?limit=5', 200, null],
    ['GET', `/api/v1/tasks/${id}?limit=5`, 200, 'limit'],
    ['GET', `/api/v1/tasks/${id}/status?a=1&b=2`, 200, 'a, b'],
    ['GET', '/api/v1/tasks/none/status?a=1', 404, 'a'],
    ['GET', '/api/v1/tasks/connect?a=1', 426, 'a'],
    ['POST', `/api/v1/tasks/${id}/cancel?now=1`, 200, 'now'],
    ['POST', '/api/v1/tasks/submit?a=1', 415, 'a'],
    ['GET', '/api/v1/stats?a=1', 200, null],
    ['GET', '/api/v1/tasksx?a=1', 404, null],
  ] as const) {
    const answer = await service.send(method, path)
    expect([path, answer.status, answer.headers.get('x-ignored-query')]).toEqual([path, status, names])
  }
})

test('a query of sixteen thousand characters is no harm, nor one that is no UTF-8', async () => {
  const service = await startService()
  const many = Array.from({ length: 2000 }, (_, i) => `n${i}`).join('&')
  const answer = await service.get(`/api/v1/tasks?${many}`)
  expect(answer.status).toBe(200)
  expect(answer.headers.get('x-ignored-query')).toBe('n0, n1, n2, n3, n4, n5, n6, n7, n8, n9')
  const raw = await exchange(service, 'GET', '/api/v1/tasks?%ff%0d%0aSet-Cookie:x=1')
  expect(raw).toMatchObject({ status: 200, headers: { 'x-ignored-query': '%25ff%250d%250aSet-Cookie%3Ax' } })
})
