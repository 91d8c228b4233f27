import { readFileSync } from 'node:fs'
import { createServer as createTlsServer } from 'node:https'
import { createServer as createTcpServer, type AddressInfo, type Server } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { coordinatorAddress } from '../../src/inference-node/address.js'
import { openai } from '../../src/inference-node/backends/index.js'
import { explainDialError } from '../../src/inference-node/dial-error.js'
import { hasOpenssl, makeCertificate } from '../support/certificate.js'
import { startHttp } from '../support/http-server.js'
import { startNode } from '../support/inference-node.js'
import { startService } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'

/** Why a node does not get a session there. */
async function whyNot(coordinator: string): Promise<string> {
  const { event } = await startNode({ coordinator })
  const { reason, welcomed, code } = await event('disconnected')
  expect({ welcomed, code }).toEqual({ welcomed: false, code: 1006 })
  return reason
}

/** A server on a free port that is closed after the test. */
async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return (server.address() as AddressInfo).port
}

test('a server that is no coordinator is called so, with its status', async () => {
  for (const status of [404, 200, 400, 405]) {
    const { url } = await startHttp((_, response) => response.writeHead(status).end('<html>'))
    expect(await whyNot(url)).toBe(`${url} is no coordinator (${status})`)
  }
})

test('a redirect, a proxy that cannot serve, and a proxy that speaks of TLS are told apart', async () => {
  const answers: [number, Record<string, string>, string][] = [
    [301, { location: 'https://pool.example.org/' }, ' redirects to https://pool.example.org/ (301)'],
    [503, {}, ' cannot open a session now (503)'],
    [403, {}, ' refuses the session (403)'],
    [400, { 'x-body': 'The plain HTTP request was sent to HTTPS port' }, ' speaks TLS: try https://127.0.0.1:'],
  ]
  for (const [status, headers, expected] of answers) {
    const { url } = await startHttp((_, response) => response.writeHead(status, headers).end(headers['x-body']))
    expect(await whyNot(url)).toContain(`${url}${expected}`)
  }
})

test('an answer of any size, or one that never ends, is not waited for', async () => {
  const { url } = await startHttp((_, response) => {
    response.writeHead(404)
    const more = (): void => void (response.destroyed || response.write('x'.repeat(65_536), () => setImmediate(more)))
    more()
  })
  expect(await whyNot(url)).toBe(`${url} is no coordinator (404)`)
})

test('what a coordinator says when it refuses a session is passed on', async () => {
  const service = await startService({ max_sessions: 1 })
  const { event } = await startNode({ coordinator: service.url })
  await event('connected')
  expect(await whyNot(service.url)).toMatch(new RegExp(`^${service.url} refuses the session \\(503\\): .*1 session`))
  const { url } = await startHttp((_, response) =>
    response.writeHead(421).end(JSON.stringify({ success: false, data: null, error: 'set public_hosts', code: 'x' })),
  )
  expect(await whyNot(url)).toBe(`${url} refuses the session (421): set public_hosts`)
})

test('an address that was copied with the path of a page is told without it', async () => {
  const { url } = await startService()
  expect(await whyNot(`${url}/dashboard/`)).toBe(
    `${url} has no coordinator at /dashboard (404): if it is not behind a proxy that adds this path, use ${url}`,
  )
})

test('a port where nobody listens, and a name that leads nowhere', async () => {
  const { url, stop } = await startHttp(() => undefined)
  await stop()
  expect(await whyNot(url)).toBe(`${url} cannot be reached (ECONNREFUSED): nothing listens there`)
  expect(await whyNot('http://nowhere.invalid:80')).toMatch(
    /^http:\/\/nowhere\.invalid cannot be reached \((ENOTFOUND|EAI_AGAIN)\): /,
  )
})

test('of several addresses of a name the first tells why', () => {
  const refused = Object.assign(new Error('refused'), { code: 'ECONNREFUSED' })
  const address = coordinatorAddress('http://localhost:1') ?? expect.fail()
  expect(explainDialError(address, new AggregateError([refused, refused]))).toBe(
    'http://localhost:1 cannot be reached (ECONNREFUSED): nothing listens there',
  )
})

test('TLS to a port that speaks none', async () => {
  const { url } = await startHttp(() => undefined)
  expect(await whyNot(url.replace('http', 'https'))).toBe(
    `${url.replace('http', 'https')} does not speak TLS: try ${url}`,
  )
  await expect(openai({ baseUrl: `${url.replace('http', 'https')}/v1` }).check()).rejects.toThrow(
    `the model server at ${url.replace('http', 'https')}/v1 does not speak TLS: try ${url}`,
  )
})

test('a port that speaks something else', async () => {
  const port = await listening(createTcpServer((socket) => socket.end('SSH-2.0-OpenSSH_9.9\r\n')))
  expect(await whyNot(`http://127.0.0.1:${port}`)).toBe(
    `http://127.0.0.1:${port} does not speak HTTP: if it speaks TLS, try https://127.0.0.1:${port}`,
  )
})

describe.runIf(hasOpenssl)('a port that speaks TLS', () => {
  const tlsServer = async (name: string, days = 90): Promise<number> => {
    const dir = tempDir()
    const [cert, key] = [join(dir, 'cert.pem'), join(dir, 'key.pem')]
    makeCertificate(cert, key, { name, days })
    return listening(createTlsServer({ cert: readFileSync(cert), key: readFileSync(key) }))
  }

  test('is asked without TLS', async () => {
    const port = await tlsServer('localhost')
    expect(await whyNot(`http://127.0.0.1:${port}`)).toBe(
      `http://127.0.0.1:${port} closed the connection without an answer (ECONNRESET): if it speaks TLS, try https://127.0.0.1:${port}`,
    )
    await expect(openai({ baseUrl: `http://127.0.0.1:${port}/v1` }).check()).rejects.toThrow(
      `if it speaks TLS, try https://127.0.0.1:${port}`,
    )
  })

  test('and whose certificate nobody knows', async () => {
    const port = await tlsServer('localhost')
    expect(await whyNot(`https://127.0.0.1:${port}`)).toMatch(
      /has a certificate that nobody has signed who is trusted here; .*NODE_EXTRA_CA_CERTS \(DEPTH_ZERO_SELF_SIGNED_CERT\)$/,
    )
  })
})

test.each([
  ['CERT_HAS_EXPIRED', 'has a certificate that has expired'],
  ['ERR_TLS_CERT_ALTNAME_INVALID', 'has a certificate for another name'],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'NODE_EXTRA_CA_CERTS'],
  ['EHOSTUNREACH', 'there is no way to that host'],
  ['EMFILE', 'cannot be reached (EMFILE)'],
])('%s is a sentence too', (code, expected) => {
  const address = coordinatorAddress('wss://pool.example.org') ?? expect.fail()
  const said = explainDialError(address, Object.assign(new Error('x'), { code }))
  expect(said).toContain(`https://pool.example.org `)
  expect(said).toContain(expected)
})
