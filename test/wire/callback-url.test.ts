import fc from 'fast-check'
import { expect, test } from 'vitest'
import * as v from 'valibot'
import { submitBody } from '../../src/wire/rest.js'
import { task } from '../support/service.js'

const parse = (callback_url: unknown) => v.safeParse(submitBody, task({ callback_url }))

test.each([
  'ftp://example.org/x',
  'example.org/x',
  '/x',
  'https://',
  'http://user@example.org/',
  'https://user:pass@example.org/',
  'https://:pass@example.org/',
  'https://example.org/a b',
  'https://example.org/\u202ex',
  'https://example.org/\n',
  ' https://example.org/',
  'https://exa\tmple.org/',
  'javascript:alert(1)',
  'https:example.org',
  `https://example.org/${'x'.repeat(2048)}`,
  '',
  17,
])('%j is no callback_url', (callback_url) => {
  const { success, issues } = parse(callback_url)
  expect([success, issues?.map(({ message }) => message)]).toEqual([
    false,
    expect.arrayContaining([expect.stringMatching(/^must be an http or https URL/)]),
  ])
})

test.each([
  'http://example.org',
  'HTTPS://Example.org:8443/hook?token=a%20b#c',
  'https://bücher.example/ü',
  'http://[2001:db8::1]:80/',
  'http://127.0.0.1/',
])('%j is one, and stays as it is', (callback_url) => {
  expect(parse(callback_url)).toMatchObject({ success: true, output: { callback_url } })
})

test('whatever is taken is http or https, names a host and no user, and is read by everybody in the same way', () => {
  const part = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 12 }),
    fc.constantFrom('@', ':', '/', '\\', '//', '#', '?', 'a'),
  )
  fc.assert(
    fc.property(
      fc.constantFrom('http://', 'https://', 'http:', ''),
      fc.array(part, { maxLength: 6 }),
      (scheme, parts) => {
        const parsed = parse(scheme + parts.join(''))
        if (!parsed.success) return
        const url = new URL(String(parsed.output.callback_url))
        expect(url.protocol).toMatch(/^https?:$/)
        expect([url.username, url.password, url.hostname === '']).toEqual(['', '', false])
        expect(new URL(url.href).href).toBe(url.href)
      },
    ),
    { numRuns: 2000 },
  )
})
