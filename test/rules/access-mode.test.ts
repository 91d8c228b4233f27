import { describe, expect, test } from 'vitest'
import { decideAccess, isLoopbackHost, type Exposure } from '../../src/rules/access-mode.js'

const none = { made: 0, good: 0 }
const some = { made: 1, good: 1 }
const base: Exposure = {
  host: '127.0.0.1',
  publicHosts: [],
  trustedProxies: [],
  tls: false,
  authentication: 'auto',
  tokens: none,
  insecure: false,
  plainHttp: false,
}
const decide = (more: Partial<Exposure>) => decideAccess({ ...base, ...more })

const seen: [string, Partial<Exposure>][] = [
  ['0.0.0.0', { host: '0.0.0.0', tls: true }],
  ['::', { host: '::', tls: true }],
  ['pool.example.org', { host: 'pool.example.org', tls: true }],
  ['inference.public_hosts', { publicHosts: ['pool.example.org'] }],
  ['inference.trusted_proxies', { trustedProxies: ['127.0.0.1/32'] }],
]

describe('without a token', () => {
  test.each(['127.0.0.1', '127.8.9.10', 'localhost', '::1'])('%s is open, without a word', (host) => {
    expect(decide({ host })).toEqual({ mode: 'open', warning: null })
  })

  test.each(seen)('%s is refused with the command that helps, and --insecure opens it with a warning', (name, more) => {
    expect(decide(more)).toEqual({
      mode: 'refused',
      why: `${name} lets anybody in: make a token with "stacks-signer tokens create --role admin --name me --config FILE", or say --insecure`,
    })
    expect(decide({ ...more, insecure: true })).toEqual({
      mode: 'open',
      warning: expect.stringMatching(/anybody .* may do everything .* tokens create/),
    })
  })

  test('authentication that is set on is on: nobody can do anything until there is a token', () => {
    for (const more of [{}, { host: '0.0.0.0', tls: true }])
      expect(decide({ ...more, authentication: 'on' })).toEqual({
        mode: 'on',
        warning: expect.stringContaining('no token is good'),
      })
  })
})

describe('with a token', () => {
  test.each([['127.0.0.1', {}] as [string, Partial<Exposure>], ...seen])('%s asks everybody', (_, more) => {
    expect(decide({ ...more, tokens: some })).toEqual({ mode: 'on', warning: null })
  })

  test('it does not open again when the last token has expired or was revoked', () => {
    expect(decide({ tokens: { made: 3, good: 0 } })).toMatchObject({ mode: 'on', warning: expect.any(String) })
  })

  test('--insecure does not take it away', () => {
    expect(decide({ tokens: some, insecure: true })).toEqual({
      mode: 'on',
      warning: expect.stringContaining('--insecure changes nothing'),
    })
  })

  test('another address without TLS is refused, unless a proxy does TLS or --plain-http says so', () => {
    const bare = { host: '0.0.0.0', tokens: some }
    expect(decide(bare)).toMatchObject({
      mode: 'refused',
      why: expect.stringMatching(/0\.0\.0\.0 without TLS.*--plain-http/),
    })
    for (const more of [{ tls: true }, { plainHttp: true }, { trustedProxies: ['10.0.0.1/32'] }])
      expect(decide({ ...bare, ...more })).toMatchObject({ mode: 'on' })
    // On loopback nothing is on the way.
    expect(decide({ publicHosts: ['pool.example.org'], tokens: some })).toMatchObject({ mode: 'on' })
  })
})

test.each(['0.0.0.0', '::', '10.0.0.1', '127.0.0.1.example.org', 'localhost.example.org', '1127.0.0.1', '::2', ''])(
  '%j is not loopback',
  (host) => expect(isLoopbackHost(host)).toBe(false),
)
