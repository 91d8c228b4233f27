import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { afterEach, describe, expect, onTestFinished, test } from 'vitest'
import { createNames } from '../../src/callbacks/connector.js'
import { createPost, type PostParts } from '../../src/callbacks/post.js'
import { startReceiver, status, type Answering } from '../support/callback-receiver.js'
import { startHttp } from '../support/http-server.js'
import { until } from '../support/wait.js'

const body = { pieces: [Buffer.from('{"a":'), Buffer.from('1}')], length: 7 }
const never = new AbortController()
const posting = (parts: Partial<PostParts> = {}) => {
  const { post } = createPost({ allowPrivate: true, timeout: 5000, ...parts })
  return (url: string, cut = never.signal) => post(url, { 'webhook-id': 'msg_1' }, body, cut)
}
const post = posting()

test.each([200, 202, 204, 299])('an answer %i is success', async (code) => {
  const receiver = await startReceiver(status(code))
  expect(await post(receiver.hook)).toEqual({ is: 'delivered' })
  expect(receiver.received).toMatchObject([{ text: '{"a":1}', path: '/hook', id: 'msg_1' }])
})

test.each([300, 304, 400, 401, 404, 429, 500, 503])('an answer %i is a failure', async (code) => {
  const receiver = await startReceiver(status(code))
  expect(await post(receiver.hook)).toMatchObject({
    is: 'failed',
    error: expect.stringContaining(String(code)) as string,
  })
})

test('an answer 410 ends it', async () => {
  const receiver = await startReceiver(status(410))
  expect(await post(receiver.hook)).toMatchObject({ is: 'gone', error: expect.stringContaining('410') as string })
})

test.each([301, 302, 303, 307, 308])('a redirect %i is a failure, and is not followed', async (code) => {
  const elsewhere = await startReceiver()
  const receiver = await startReceiver(status(code, { location: elsewhere.hook }))
  expect(await post(receiver.hook)).toMatchObject({
    is: 'failed',
    error: `the receiver has answered ${code}, and redirects are not followed: name the address itself`,
  })
  expect(elsewhere.received).toEqual([])
})

test('a receiver that does not answer in time is a failure', async () => {
  const receiver = await startReceiver(() => undefined)
  expect(await posting({ timeout: 100 })(receiver.hook)).toEqual({
    is: 'failed',
    error: 'the receiver has not answered within 0.1 s',
  })
})

/** An answer that never ends. `sent`: its bytes so far. */
function endless(chunk: Buffer) {
  const sent = { bytes: 0, ended: false }
  const answering: Answering = (_, response) => {
    response.writeHead(200)
    const more = (): void => {
      if (response.destroyed) return
      sent.bytes += chunk.length
      if (response.write(chunk)) setImmediate(more)
      else response.once('drain', more)
    }
    response.on('close', () => (sent.ended = true))
    more()
  }
  return { sent, answering }
}

test('of an answer without end 64 KiB are read, and then the connection ends', async () => {
  const { sent, answering } = endless(Buffer.alloc(16 * 1024))
  const receiver = await startReceiver(answering)
  expect(await post(receiver.hook)).toEqual({ is: 'delivered' })
  await until(() => sent.ended, 'the end of the connection')
  // What the sockets of both sides hold comes to some megabytes.
  expect(sent.bytes).toBeLessThan(32 * 1024 * 1024)
})

test('an answer that drips is success when its time is over', async () => {
  const receiver = await startReceiver((_, response) => void response.writeHead(200).write('x'))
  expect(await posting({ timeout: 200 })(receiver.hook)).toEqual({ is: 'delivered' })
})

test('what is cut ends at once', async () => {
  const cut = new AbortController()
  const receiver = await startReceiver(() => cut.abort())
  await post(receiver.hook, cut.signal)
  expect(receiver.received).toHaveLength(1)
})

/** A server that speaks no HTTP. */
async function rawServer(speak: (socket: Socket) => void): Promise<string> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    speak(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

test.each<[string, (socket: Socket) => void, string, RegExp]>([
  ['ends the connection', (s) => s.destroy(), 'http', /closed the connection without an answer/],
  ['speaks something else', (s) => s.end('SSH-2.0-x\r\n'), 'http', /does not speak HTTP/],
  [
    'has endless headers',
    (s) => s.write(`HTTP/1.1 200 OK\r\nx: ${'x'.repeat(100_000)}`),
    'http',
    /headers that are too large/,
  ],
  ['speaks no TLS', (s) => s.end('HTTP/1.1 200 OK\r\n\r\n'), 'https', /does not speak TLS/],
])('a receiver that %s is a failure that says so', async (_, speak, scheme, error) => {
  const host = await rawServer(speak)
  expect(await post(`${scheme}://${host}/`)).toMatchObject({
    is: 'failed',
    error: expect.stringMatching(error) as string,
  })
})

test('where nothing listens it is a failure that says so', async () => {
  const { url, stop } = await startHttp(() => undefined)
  await stop()
  expect(await post(`${url}/`)).toMatchObject({
    is: 'failed',
    error: expect.stringMatching(/nothing listens there/) as string,
  })
})

describe('where private addresses are not allowed', () => {
  const publicOnly = posting({ allowPrivate: false })
  let connections = 0
  const counted = async (): Promise<number> => {
    const server = createServer((socket) => {
      connections++
      socket.destroy()
    })
    server.listen(0) // every address of this machine, IPv6 too
    await once(server, 'listening')
    onTestFinished(() => void server.close())
    return (server.address() as AddressInfo).port
  }
  afterEach(() => void (connections = 0))

  test.each([
    '127.0.0.1',
    '127.1',
    '2130706433',
    '0x7f.0.0.1',
    '0177.0.0.1',
    '0.0.0.0',
    '[::1]',
    '[::]',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[64:ff9b::7f00:1]',
    '[2002:7f00:1::]',
    'localhost',
    'LOCALHOST.',
    'hooks.localhost',
  ])('nothing connects to %s', async (host) => {
    const port = await counted()
    for (const scheme of ['http', 'https'])
      expect(await publicOnly(`${scheme}://${host}:${port}/`)).toMatchObject({
        is: 'failed',
        error: expect.stringMatching(/ is no public address$| has no public address, or/) as string,
      })
    expect(connections).toBe(0)
  })

  test('what is said of a name is the same whether it leads to somewhere private or nowhere', async () => {
    const says = async (found: string[]) =>
      posting({ allowPrivate: false, judge: { resolve: () => Promise.resolve(found) } })('http://intranet.example/')
    expect(await says(['10.0.0.1', 'fd00::1'])).toEqual(await says([]))
    const failing = posting({ allowPrivate: false, judge: { resolve: () => Promise.reject(new Error('x')) } })
    expect(await failing('http://intranet.example/')).toEqual(await says([]))
  })

  test('a name is looked up once for a connection, and what was judged is connected to', async () => {
    const receiver = await startReceiver()
    const asked: string[] = []
    // The second answer is another one: whoever looks up twice, to judge and to connect, connects to what was not judged.
    const answers = [['127.0.0.1', '127.0.0.2'], ['127.0.0.2']]
    const rebinding = posting({
      allowPrivate: false,
      judge: {
        isAllowed: (address) => address === '127.0.0.1',
        resolve(name) {
          asked.push(name)
          return Promise.resolve(answers.shift() ?? [])
        },
      },
    })
    const url = `http://hooks.example:${receiver.port}/hook`
    expect(await rebinding(url)).toEqual({ is: 'delivered' })
    expect([asked, receiver.received.length]).toEqual([['hooks.example'], 1])
    expect(receiver.received[0]?.headers.host).toBe(`hooks.example:${receiver.port}`)
    // Nothing of the first connection is left that would save the second from being judged.
    expect(await rebinding(url)).toMatchObject({ is: 'failed' })
    expect([asked.length, receiver.received.length]).toEqual([2, 1])
  })

  test('a connection that came to an address that is not allowed sends nothing', async () => {
    const receiver = await startReceiver()
    const judged: string[] = []
    const changing = posting({
      allowPrivate: false,
      judge: {
        resolve: () => Promise.resolve(['127.0.0.1']),
        isAllowed: (address) => judged.push(address) === 1,
      },
    })
    expect(await changing(`http://hooks.example:${receiver.port}/`)).toMatchObject({ is: 'failed' })
    expect([judged, receiver.received]).toEqual([['127.0.0.1', '127.0.0.1'], []])
  })

  test('the names of this machine are not asked of anybody', async () => {
    const { resolve: names } = createNames()
    expect(await names('localhost')).toEqual(['127.0.0.1', '::1'])
    expect(await names('x.LocalHost.')).toEqual(['127.0.0.1', '::1'])
  })
})

test('a name that is never answered holds nothing longer than a try', async () => {
  const waiting = posting({ allowPrivate: false, timeout: 100, judge: { resolve: () => new Promise(() => undefined) } })
  expect(await waiting('http://hooks.example/')).toMatchObject({ is: 'failed' })
})
