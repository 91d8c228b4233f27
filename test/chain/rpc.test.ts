import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createNetServer, type AddressInfo, type Socket } from 'node:net'
import fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createChainRpc } from '../../src/chain/rpc/chain-rpc.js'
import { refusalClass } from '../../src/chain/rpc/rejection.js'
import { startHttp } from '../support/http-server.js'
import { NODE } from './vectors.js'

const TIP = 'aa'.repeat(32)
const CONSENSUS = 'bb'.repeat(20)
const TXID = 'e394f34b9fb3c664ade676f4b748511341e655c21a7499c20eeaf0cb4feaec93'
const INFO = {
  funai_tip_height: 120,
  funai_tip: TIP,
  funai_tip_consensus_hash: CONSENSUS,
  burn_block_height: 2000,
  network_id: 0x80000000,
  server_version: 'funai-node 0.1',
  what_a_newer_node_says: [{ else: true }],
}
const BOOT = 'ST000000000000000000002AMW42H'

interface Asked {
  method: string | undefined
  url: string | undefined
  body: string
  headers: IncomingMessage['headers']
}
type Answer = (response: ServerResponse, asked: Asked) => void

/** A node that answers all calls so, and a client for it. */
async function nodeThat(answer: Answer, { timeout = 30_000, login = '' } = {}) {
  const asked: Asked[] = []
  const { url } = await startHttp((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => (body += chunk.toString()))
    request.on('end', () => {
      const one = { method: request.method, url: request.url, body, headers: request.headers }
      asked.push(one)
      answer(response, one)
    })
  })
  const endpoint = url.replace('http://', `http://${login}`)
  const rpc = createChainRpc({ endpoint, timeout })
  onTestFinished(() => rpc.close())
  return { rpc, asked, url }
}
const json =
  (status: number, body: unknown): Answer =>
  (response) =>
    void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
const text =
  (status: number, body: string): Answer =>
  (response) =>
    void response.writeHead(status, { 'content-type': 'text/plain' }).end(body)
const unreachable = (message: RegExp) => ({ is: 'unreachable', message: expect.stringMatching(message) })

describe('what a node answers', () => {
  test('its tip, by the names of Funai or those of Stacks', async () => {
    const tip = {
      is: 'info',
      tipHeight: 120,
      tip: TIP,
      tipConsensusHash: CONSENSUS,
      // Made with another program: SHA-512/256 of the 52 bytes.
      indexBlockHash: 'dff7e7b6b5b027bba7b966eaa26ee41e83a8c6fcd2f9c92db216f53885a0a4bd',
      burnHeight: 2000,
      networkId: 0x80000000,
      serverVersion: 'funai-node 0.1',
    }
    const funai = await nodeThat(json(200, INFO))
    expect(await funai.rpc.info()).toEqual(tip)
    expect(funai.asked[0]).toMatchObject({ method: 'GET', url: '/v2/info' })
    const stacks = await nodeThat(
      json(200, {
        ...Object.fromEntries(Object.entries(INFO).map(([name, value]) => [name.replace('funai', 'stacks'), value])),
        stacks_tip: `0x${TIP.toUpperCase()}`,
      }),
    )
    expect(await stacks.rpc.info()).toEqual(tip)
  })

  test('an account, with amounts in hex and a nonce that a double would round', async () => {
    const body = `{"balance":"0x${'f'.repeat(32)}","locked":"0x0a","unlock_height":7,"nonce":9007199254740993,"balance_proof":""}`
    const { rpc, asked } = await nodeThat(text(200, body))
    expect(await rpc.account(NODE.testnet)).toEqual({
      is: 'account',
      balance: 2n ** 128n - 1n,
      locked: 10n,
      nonce: 9007199254740993n,
      unlockHeight: 7,
    })
    expect(asked[0]?.url).toBe(`/v2/accounts/${NODE.testnet}?proof=0`)
  })

  test('the transaction that it holds, or that it holds none', async () => {
    const { rpc, asked } = await nodeThat((response, { url }) =>
      url?.endsWith(TXID) === true
        ? json(200, { tx: '8080ff', status: 'Mempool' })(response, asked[0] as Asked)
        : text(404, 'No such unconfirmed transaction')(response, asked[0] as Asked),
    )
    expect(await rpc.unconfirmed(TXID)).toEqual({ is: 'held', tx: Buffer.from('8080ff', 'hex') })
    expect(asked[0]?.url).toBe(`/v2/transactions/unconfirmed/${TXID}`)
    expect(await rpc.unconfirmed('00'.repeat(32))).toEqual({ is: 'absent' })
  })

  test('the result of an inference', async () => {
    const held = { txid: TXID, input: 'a', output: 'b', output_hash: 'AB'.repeat(32), inference_node_id: NODE.testnet }
    const { rpc, asked } = await nodeThat(json(200, { ...held, status: 'Success', create_time: 1 }))
    expect(await rpc.inferResult(TXID)).toEqual({
      is: 'result',
      status: 'Success',
      outputHash: 'ab'.repeat(32),
      nodeId: NODE.testnet,
    })
    expect(asked[0]?.url).toBe(`/v2/infer_res/${TXID}`)
    const none = await nodeThat(json(200, { status: 'NotFound', output_hash: '', inference_node_id: '' }))
    expect(await none.rpc.inferResult(TXID)).toEqual({
      is: 'result',
      status: 'NotFound',
      outputHash: null,
      nodeId: null,
    })
  })

  test('the stake of a node, as the value of the contract', async () => {
    const { rpc, asked } = await nodeThat(json(200, { okay: true, result: '0x0a0c00000000' }))
    expect(await rpc.stake(NODE.testnet, BOOT)).toEqual({ is: 'stake', result: '0x0a0c00000000' })
    expect(asked[0]).toMatchObject({
      method: 'POST',
      url: `/v2/contracts/call-read/${BOOT}/pox-4/infer-get-stake-info`,
    })
    expect(JSON.parse(asked[0]?.body ?? '')).toEqual({
      sender: NODE.testnet,
      arguments: ['0x051a3bc28d6d92d9073fb5e3adf481795eaf446bceed'],
    })
    expect(await rpc.stake('somebody', BOOT)).toEqual({ is: 'stake', result: '0x09' })
    expect(asked).toHaveLength(1)
    const missing = await nodeThat(json(200, { okay: false, cause: 'Unchecked(NoSuchContract)' }))
    expect(await missing.rpc.stake(NODE.testnet, BOOT)).toEqual(unreachable(/NoSuchContract.*boot_address/))
    const tipless = await nodeThat(text(404, 'Chain tip not found'))
    expect(await tipless.rpc.stake(NODE.testnet, BOOT)).toEqual(unreachable(/answers 404/))
  })
})

describe('a transaction that is posted', () => {
  const TX = Buffer.from('8080ff00', 'hex')

  test('is sent in hex with its output, and is taken', async () => {
    const { rpc, asked } = await nodeThat(json(200, TXID.toUpperCase()), { login: 'miner:s%20cret@' })
    expect(await rpc.post(TX, 'Zeit ✓')).toEqual({ is: 'taken', txid: TXID })
    expect(asked[0]).toMatchObject({ method: 'POST', url: '/v2/transactions' })
    expect(JSON.parse(asked[0]?.body ?? '')).toEqual({ tx: '8080ff00', attachment: '5a65697420e29c93' })
    expect(asked[0]?.headers).toMatchObject({
      'content-type': 'application/json',
      authorization: `Basic ${Buffer.from('miner:s cret').toString('base64')}`,
    })
    expect(Number(asked[0]?.headers['content-length'])).toBe(asked[0]?.body.length)
  })

  test.each([
    ['Serialization', { message: 'bad' }, 'final'],
    ['Deserialization', { message: 'bad' }, 'final'],
    ['SignatureValidation', { message: 'Bad chain id' }, 'final'],
    ['FeeTooLow', { expected: 262, actual: 100 }, 'final'],
    ['BadNonce', { expected: 8, actual: 7, principal: NODE.testnet, is_origin: true }, 'look'],
    [
      'TooMuchChaining',
      { message: 'far', expected: 26, actual: 40, principal: NODE.testnet, is_origin: true },
      'later',
    ],
    ['ConflictingNonceInMempool', undefined, 'look'],
    ['NotEnoughFunds', { expected: `0x${'0'.repeat(30)}64`, actual: `0x${'0'.repeat(31)}1` }, 'later'],
    ['BadAddressVersionByte', undefined, 'final'],
    ['BadTransactionVersion', undefined, 'final'],
    ['TemporarilyBlacklisted', undefined, 'later'],
    ['EstimatorError', undefined, 'later'],
    ['ServerFailureNoSuchChainTip', undefined, 'later'],
    ['ServerFailureDatabase', { message: 'disk' }, 'later'],
    ['ServerFailureOther', { message: 'else' }, 'later'],
    ['NoSuchContract', undefined, 'final'],
    ['PoisonMicroblocksDoNotConflict', undefined, 'final'],
    ['SomethingNew', { expected: { a: 1 }, message: 5 }, 'final'],
  ])('is refused: %s', async (reason, reason_data, kind) => {
    const { rpc } = await nodeThat(json(400, { txid: TXID, error: 'transaction rejected', reason, reason_data }))
    const refused = await rpc.post(TX, '')
    expect(refused).toMatchObject({ is: 'refused', reason, class: kind, message: expect.stringContaining(reason) })
    expect(refusalClass(reason)).toBe(kind)
  })

  test('is refused with figures, whichever way they are written', async () => {
    const data = { expected: '0x64', actual: 99, principal: NODE.testnet, is_origin: true }
    const { rpc } = await nodeThat(json(400, { error: 'transaction rejected', reason: 'BadNonce', reason_data: data }))
    const refused = await rpc.post(TX, '')
    expect(refused).toMatchObject({
      data: { expected: 100n, actual: 99n, principal: NODE.testnet, isOrigin: true, message: null },
      message: expect.stringMatching(/BadNonce \(expected 100, got 99, of ST/),
    })
  })

  test('is refused with a sentence only', async () => {
    const stored = await nodeThat(text(400, `tx:${TXID} infer task submission failed`))
    expect(await stored.rpc.post(TX, '')).toMatchObject({ is: 'refused', reason: null, class: 'later' })
    const malformed = await nodeThat(text(400, `Failed to decode body${'!'.repeat(5000)}`))
    const refused = await malformed.rpc.post(TX, '')
    expect(refused).toMatchObject({ is: 'refused', reason: null, class: 'final' })
    if (refused.is === 'refused') expect(refused.message.length).toBeLessThan(500)
  })

  test('is not sent with an output that no node reads', async () => {
    const { rpc, asked } = await nodeThat(json(200, TXID))
    expect(await rpc.post(TX, 'x'.repeat(8 * 1024 * 1024))).toMatchObject({
      is: 'refused',
      reason: 'TooLarge',
      class: 'final',
    })
    expect(asked).toEqual([])
  })

  test.each([
    [500, 'oops'],
    [503, ''],
    [404, 'no such path'],
    [401, 'who are you'],
    [302, ''],
    [200, 'no JSON'],
    [200, '"abcd"'],
    [200, '{"txid":1}'],
  ])('comes to nothing by an answer of %i: %s', async (status, body) => {
    const { rpc, url } = await nodeThat(text(status, body), { login: 'miner:secret@' })
    const answer = await rpc.post(TX, '')
    expect(answer).toEqual(unreachable(new RegExp(`^${url} answers ${status} to /v2/transactions`)))
    expect(JSON.stringify(answer)).not.toContain('secret')
  })
})

describe('a node that fails', () => {
  test('whatever it answers is a value, for every call', async () => {
    let body = Buffer.alloc(0)
    let status = 200
    const { rpc } = await nodeThat((response) => void response.writeHead(status).end(body))
    const answers = fc.oneof(
      fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
      fc.json().map((text) => Buffer.from(text)),
      fc
        .record({
          ...Object.fromEntries(Object.keys(INFO).map((name) => [name, fc.jsonValue()])),
          ...Object.fromEntries(
            ['balance', 'nonce', 'tx', 'status', 'okay', 'result'].map((name) => [name, fc.jsonValue()]),
          ),
        })
        .map((value) => Buffer.from(JSON.stringify(value))),
    )
    await fc.assert(
      fc.asyncProperty(answers, fc.constantFrom(200, 400, 404, 500), async (bytes, code) => {
        body = bytes
        status = code
        const kinds = (
          await Promise.all([
            rpc.info(),
            rpc.account(NODE.testnet),
            rpc.post(Buffer.of(1), ''),
            rpc.unconfirmed(TXID),
            rpc.inferResult(TXID),
            rpc.stake(NODE.testnet, BOOT),
          ])
        ).map((answer) => answer.is)
        expect(kinds).not.toContain('taken')
        expect(kinds.slice(0, 2)).toEqual(['unreachable', 'unreachable'])
        if (code === 400) expect(kinds[2]).toBe('refused')
        if (code === 404) expect(kinds[3]).toBe('absent')
      }),
      { numRuns: 30 },
    )
  })

  test('with 20 MB it is cut off', async () => {
    const piece = Buffer.alloc(64 * 1024, ' ')
    let sent = 0
    const { rpc } = await nodeThat((response) => {
      const more = (): void => {
        while (sent < 20_000_000) {
          sent += piece.length
          if (!response.write(piece)) return void response.once('drain', more)
        }
        response.end('{}')
      }
      more()
    })
    expect(await rpc.info()).toEqual(unreachable(/more than 65536 bytes/))
    expect(sent).toBeLessThan(20_000_000)
  })

  test('that is silent is waited for until the timeout, and no longer', async () => {
    const { rpc } = await nodeThat(() => undefined, { timeout: 100 })
    expect(await rpc.info()).toEqual(unreachable(/has not answered \/v2\/info within 0.1 s.*request_timeout/))
  })

  test('whose answer drips is waited for until the timeout, and no longer', async () => {
    const { rpc } = await nodeThat(
      (response) => {
        response.writeHead(200)
        const drip = setInterval(() => response.write(' '), 10)
        response.once('close', () => clearInterval(drip))
      },
      { timeout: 200 },
    )
    expect(await rpc.info()).toEqual(unreachable(/within 0.2 s/))
  })

  test('that closes in the middle of an answer, or instead of one, has not answered', async () => {
    const half = await socketThat((socket) => {
      socket.end('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"funai_tip_height":')
    })
    expect(await half.info()).toEqual(unreachable(/closed the connection/))
    const truncated = await socketThat((socket) => socket.end('HTTP/1.1 200 OK\r\n\r\n{"funai_tip_height":'))
    expect(await truncated.info()).toEqual(unreachable(/not as a node does/))
    const none = await socketThat((socket) => socket.end())
    expect(await none.info()).toEqual(unreachable(/closed the connection without an answer/))
    const reset = await socketThat((socket) => socket.resetAndDestroy())
    expect(await reset.info()).toEqual(unreachable(/ECONNRESET|UND_ERR_SOCKET/))
    const noHttp = await socketThat((socket) => socket.end('220 mail.example.org ESMTP\r\n'))
    expect(await noHttp.info()).toEqual(unreachable(/does not speak HTTP/))
  })

  test('that is not there is told with what to do', async () => {
    const server = createServer()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    await new Promise((resolve) => server.close(resolve))
    const rpc = createChainRpc({ endpoint: `http://me:secret@127.0.0.1:${port}/`, timeout: 5000, setting: 'endpoint' })
    onTestFinished(() => rpc.close())
    const answer = await rpc.info()
    expect(answer).toEqual(
      unreachable(/127.0.0.1:\d+ cannot be reached \(ECONNREFUSED\).*start the node, or correct endpoint/),
    )
    expect(JSON.stringify(answer)).not.toContain('secret')
  })

  test('calls that run when the client is closed end', async () => {
    const { rpc } = await nodeThat(() => undefined)
    const call = rpc.info()
    await rpc.close()
    expect(await call).toMatchObject({ is: 'unreachable' })
    expect(await rpc.info()).toMatchObject({ is: 'unreachable' })
  })
})

/** A client of what does this with each connection once a request has come. */
async function socketThat(act: (socket: Socket) => void) {
  const server = createNetServer((socket) => {
    socket.on('error', () => undefined)
    socket.once('data', () => act(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const rpc = createChainRpc({ endpoint: `http://127.0.0.1:${port}`, timeout: 30_000 })
  onTestFinished(async () => {
    await rpc.close()
    server.close()
  })
  return rpc
}
