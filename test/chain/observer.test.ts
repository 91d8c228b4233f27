import { once } from 'node:events'
import { connect } from 'node:net'
import fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import { readEvent } from '../../src/chain/observer/bodies.js'
import type { ChainEvent } from '../../src/chain/observer/events.js'
import { createObserver, type ObserverOptions } from '../../src/chain/observer/observer.js'
import { silentLog } from '../../src/lib/log.js'
import { deferred, until } from '../support/wait.js'

const hex = (byte: string, length = 32) => `0x${byte.repeat(length)}`
const INFER =
  '80800000000400fc7250a211deddc70ee5a2738de5f07817351cef0000000000000007000000000000012c0000a6641a60bdbc6eff69c766509229147e2f53df5d55097534d9039a1993430c9f018a8e4e54c8da4d4b9f24e61949eaef5e02f4c350556eac4c3d4b399bbcb9bd03020000000009051afc7250a211deddc70ee5a2738de5f07817351cef00000000000009c410576861742069732061206c656173653f00050000000000000000000000000000000000000000000a6c6c616d612d332d386200'
/** As INFER, but a token transfer as far as its kind goes. */
const TRANSFER = `${INFER.slice(0, 230)}00${INFER.slice(232)}`
const mined = (raw_tx: string, txid = hex('e3')) => ({
  txid,
  tx_index: 0,
  status: 'success',
  raw_result: `0x070200000020${'ab'.repeat(32)}`,
  raw_tx: `0x${raw_tx}`,
  contract_abi: null,
  execution_cost: { read_count: 3, write_length: 0 },
})
const block = (height: number, transactions: object[] = [], more: object = {}) => ({
  block_hash: hex('11'),
  block_height: height,
  index_block_hash: hex('22'),
  parent_block_hash: hex('33'),
  parent_index_block_hash: hex('44'),
  burn_block_height: 2000 + height,
  events: [{ txid: hex('e3'), type: 'stx_infer_event', stx_infer_event: { infer_out_hash: 'a]}"\\{' } }],
  transactions,
  ...more,
})
const blockEvent = (height: number, transactions: object[] = []) => ({
  is: 'block',
  blockHash: '11'.repeat(32),
  height,
  indexBlockHash: '22'.repeat(32),
  parentIndexBlockHash: '44'.repeat(32),
  burnHeight: 2000 + height,
  transactions,
})
const spendsOf = (raw: string) => ({
  version: parseInt(raw.slice(0, 2), 16),
  hashMode: parseInt(raw.slice(12, 14), 16),
  signer: raw.slice(14, 54),
  nonce: BigInt(`0x${raw.slice(54, 70)}`),
})
const inferenceEvent = {
  status: 'success',
  rawResult: Buffer.from(`070200000020${'ab'.repeat(32)}`, 'hex'),
  rawTx: Buffer.from(INFER, 'hex'),
}
const minedEvent = { txid: 'e3'.repeat(32), spends: spendsOf(INFER), inference: inferenceEvent }
const SUBMISSION = {
  task_id: 'task-1',
  infer_user_address: 'ST3Y74M5227FDVHREWPH773F5Y1W1ED8WXXVB0G1S',
  user_input: 'What is a lease?',
  context: '',
  fee: 300,
  nonce: 7,
  infer_fee: 2500,
  max_infer_time: 60,
  model_type: { Llama: 'llama-3-8b' },
}

/** An observer on loopback, and everything that it has told so far. */
async function observing(options: Partial<ObserverOptions> = {}) {
  const events: ChainEvent[] = []
  const observer = createObserver({
    host: '127.0.0.1',
    port: 0,
    log: silentLog(),
    onEvent: (event) => void events.push(event),
    ...options,
  })
  const { port } = await observer.listen()
  onTestFinished(() => observer.close())
  const url = `http://127.0.0.1:${port}`
  const send = async (path: string, body: unknown): Promise<void> => {
    const text = typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body)
    const answer = await fetch(url + path, { method: 'POST', body: text })
    expect([answer.status, await answer.text()]).toEqual([200, ''])
  }
  const told = (count: number) => until(() => (events.length >= count ? events : null), `${count} events`)
  return { observer, events, url, port, send, told }
}

describe('events', () => {
  test('of a block are its inferences, and whose nonce everything else in it has used', async () => {
    const { send, told } = await observing()
    const failed = { ...mined(INFER, hex('e4')), status: 'abort_by_response', raw_result: '0x0809' }
    await send('/new_block', block(5, [mined(TRANSFER), mined(INFER), { ...mined('00'), raw_tx: '0x00' }, failed]))
    expect(await told(1)).toEqual([
      blockEvent(5, [
        { txid: 'e3'.repeat(32), spends: spendsOf(TRANSFER), inference: null },
        minedEvent,
        {
          ...minedEvent,
          txid: 'e4'.repeat(32),
          inference: { ...inferenceEvent, status: 'abort_by_response', rawResult: Buffer.from('0809', 'hex') },
        },
      ]),
    ])
  })

  test('come in the order in which they were told', async () => {
    const { send, told } = await observing()
    await send('/new_block', block(1))
    await send('/new_burn_block', { burn_block_hash: hex('55'), burn_block_height: 2001, reward_recipients: [{}] })
    await send('/drop_mempool_tx', { dropped_txids: [hex('EE'), hex('ef')], reason: 'StaleGarbageCollect' })
    await send('/submit_infer_task', SUBMISSION)
    await send('/new_block', block(2))
    expect(await told(5)).toEqual([
      blockEvent(1),
      { is: 'burn_block', height: 2001 },
      { is: 'dropped', txids: ['ee'.repeat(32), 'ef'.repeat(32)], reason: 'StaleGarbageCollect' },
      {
        is: 'submission',
        from: '127.0.0.1',
        task: expect.objectContaining({
          task_id: 'task-1',
          user_address: SUBMISSION.infer_user_address,
          infer_fee: 2500,
          nonce: 7,
          model_name: 'llama-3-8b',
          signed_tx: null,
        }),
      },
      blockEvent(2),
    ])
  })

  test('that are told again are told once', async () => {
    const { observer, send, told } = await observing()
    for (const height of [1, 1, 2, 1]) await send('/new_block', block(height))
    await send('/new_burn_block', { burn_block_height: 1 })
    expect((await told(3)).map((event) => event.is)).toEqual(['block', 'block', 'burn_block'])
    expect(observer.counts()).toMatchObject({ events: 5, repeats: 2, lost: 0 })
  })

  test('wait for each other, and are answered meanwhile', async () => {
    const first = deferred()
    const begun: number[] = []
    const { send } = await observing({
      async onEvent(event) {
        begun.push(event.is === 'block' ? event.height : -1)
        if (begun.length === 1) await first.promise
      },
    })
    for (const height of [1, 2, 3]) await send('/new_block', block(height))
    await until(() => begun.length > 0)
    expect(begun).toEqual([1])
    first.resolve()
    await until(() => begun.length === 3)
    expect(begun).toEqual([1, 2, 3])
  })

  test('of any model of a family have its name', async () => {
    const { send, told } = await observing()
    await send('/submit_infer_task', { ...SUBMISSION, model_type: { Gemma: null } })
    await send('/submit_infer_task', { ...SUBMISSION, model_type: { Unknown: null } })
    await send('/submit_infer_task', { ...SUBMISSION, model_type: { Llama: 'a', Gemma: 'b' } })
    await send('/submit_infer_task', { ...SUBMISSION, model_type: { Unknown: 'mine' } })
    const models = (await told(2)).map((event) => event.is === 'submission' && event.task.model_name)
    expect(models).toEqual(['Gemma', 'mine'])
  })
})

describe('what cannot be used', () => {
  test.each([
    ['no JSON', '/new_block', 'nonsense'],
    ['nothing', '/new_block', ''],
    ['JSON that does not end', '/new_block', JSON.stringify(block(1)).slice(0, -1)],
    ['JSON with more behind it', '/new_block', `${JSON.stringify(block(1))}{}`],
    ['a block without a parent', '/new_block', block(1, [], { parent_index_block_hash: undefined })],
    ['a block without transactions', '/new_block', block(1, [], { transactions: undefined })],
    ['a hash that is none', '/new_block', block(1, [], { index_block_hash: '0x12' })],
    ['a hash that is a list', '/new_block', block(1, [], { index_block_hash: [[[]]] })],
    ['an unknown status', '/new_block', block(1, [{ ...mined(INFER), status: 'perhaps' }])],
    ['a burn block without a height', '/new_burn_block', {}],
    ['a list that is none', '/drop_mempool_tx', { dropped_txids: 'all', reason: 'TooExpensive' }],
    ['a txid that is none', '/drop_mempool_tx', { dropped_txids: ['0x00'], reason: 'TooExpensive' }],
  ])('is answered, and is a gap: %s', async (_, path, body) => {
    const { observer, send, told } = await observing()
    await send(path, body)
    await send('/new_block', block(9))
    expect(await told(2)).toEqual([
      { is: 'gap', count: 1, why: expect.stringContaining(`the body of ${path} `) },
      blockEvent(9),
    ])
    expect(observer.counts().lost).toBe(1)
  })

  test('of the chain says nothing: a wrong submission, an unknown path, another method', async () => {
    const { send, told, url } = await observing()
    await send('/submit_infer_task', { ...SUBMISSION, infer_fee: -1 })
    await send('/submit_infer_task', Buffer.from([0x22, 0xff, 0x22]))
    for (const path of ['/mined_block', '/stackerdb_chunks', '/', '/new_mempool_tx', '/__proto__', '/%'])
      await send(path, '{')
    for (const method of ['GET', 'PUT', 'DELETE'])
      expect((await fetch(`${url}/new_block`, { method })).status).toBe(200)
    const status = await fetch(`${url}/status?now`)
    expect([status.status, await status.text()]).toEqual([200, 'OK'])
    await send('/new_block', block(9))
    expect(await told(1)).toEqual([blockEvent(9)])
  })

  test('is too large: it is read to its end, answered, and a gap', async () => {
    const { send, told, observer } = await observing({ limits: { blockBytes: 100_000 } })
    await send('/new_block', block(1, [], { more: 'x'.repeat(5_000_000) }))
    await send('/new_block', block(2))
    expect(await told(2)).toEqual([
      { is: 'gap', count: 1, why: 'the body of /new_block is larger than 100000 bytes' },
      blockEvent(2),
    ])
    expect(observer.counts()).toEqual({ events: 2, repeats: 0, lost: 1, waiting: 0 })
  })

  test.each([
    ['too many', { waiting: 2 }, 'too many events wait'],
    ['too much', { bytes: 2200 }, 'more than 2200 bytes of events wait'],
  ])('is %s while the owner is busy: all of it is one gap, in its place', async (_, limits, why) => {
    const first = deferred()
    const events: ChainEvent[] = []
    const { send, observer } = await observing({
      limits,
      async onEvent(event) {
        events.push(event)
        if (events.length === 1) await first.promise
      },
    })
    await send('/new_block', block(1))
    await until(() => events.length === 1)
    for (let height = 2; height <= 6; height++) await send('/new_block', block(height))
    expect(observer.counts()).toMatchObject({ waiting: 2, lost: 3 })
    first.resolve()
    await until(() => observer.counts().waiting === 0 && events.length === 4)
    await send('/new_block', block(7))
    await until(() => events.length === 5)
    expect(events).toEqual([blockEvent(1), blockEvent(2), blockEvent(3), { is: 'gap', count: 3, why }, blockEvent(7)])
  })

  test('is an event that the owner fails at: a gap comes before the next, until the owner has taken it', async () => {
    const events: ChainEvent[] = []
    const { send, observer } = await observing({
      onEvent(event) {
        events.push(event)
        if (events.length <= 2) throw new Error('the disk is full')
      },
    })
    await send('/new_block', block(1))
    await send('/new_block', block(2))
    await until(() => events.length === 4)
    const gap = { is: 'gap', count: 1, why: 'the service failed at it (block)' }
    expect(events).toEqual([blockEvent(1), gap, gap, blockEvent(2)])
    expect(observer.counts().lost).toBe(1)
  })
})

describe('who tells them', () => {
  test('others than those that may are cut off', async () => {
    const { url, events, port } = await observing({ allowed: ['10.1.2.0/24'] })
    await expect(fetch(`${url}/new_block`, { method: 'POST', body: '{}' })).rejects.toThrow('fetch failed')
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'close')
    expect(events).toEqual([])
  })

  test('a request that breaks off is no event, and gives back what it has taken', async () => {
    const { port, send, told } = await observing({ limits: { bytes: 60_000 } })
    const head = 'POST /new_block HTTP/1.1\r\ncontent-length: 50000\r\n\r\n'
    for (let i = 0; i < 4; i++) {
      const socket = connect(port, '127.0.0.1')
      socket.on('error', () => undefined)
      await new Promise<void>((resolve) => socket.write(head + ' '.repeat(40_000), () => resolve()))
      socket.resetAndDestroy()
      await once(socket, 'close')
    }
    // All four are over for the observer once it has answered a whole one that needs most of the bytes.
    await until(async () => {
      await send('/new_block', block(1, [], { more: 'x'.repeat(50_000) + Math.random() }))
      return (await told(1)).at(-1)?.is === 'block'
    })
  })

  test('one that never comes to its end is cut off', async () => {
    const { port } = await observing({ limits: { requestTimeout: 100 } })
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => undefined)
    socket.write('POST /new_block HTTP/1.1\r\ncontent-length: 50\r\n\r\n ')
    socket.resume()
    await once(socket, 'close')
  })

  test('no more connections are taken than it may have', async () => {
    const { port } = await observing({ limits: { connections: 3 } })
    const sockets = Array.from({ length: 10 }, () => connect(port, '127.0.0.1'))
    let closed = 0
    for (const socket of sockets) socket.on('error', () => undefined).on('close', () => closed++)
    await until(() => closed === 7)
    for (const socket of sockets) socket.destroy()
  })

  test('an address that is in use is told as a sentence', async () => {
    const { port } = await observing()
    const second = createObserver({ host: '127.0.0.1', port, log: silentLog(), onEvent: () => undefined })
    await expect(second.listen()).rejects.toThrow(/^event_observer: 127.0.0.1:\d+ is in use by another program/)
    await second.close()
  })

  test('closing waits for the event that the owner is at, and drops what waits', async () => {
    const first = deferred()
    const events: ChainEvent[] = []
    const { send, observer } = await observing({
      async onEvent(event) {
        events.push(event)
        await first.promise
      },
    })
    await send('/new_block', block(1))
    await send('/new_block', block(2))
    await until(() => events.length === 1)
    let isClosed = false
    const closed = observer.close().then(() => (isClosed = true))
    await new Promise((resolve) => setImmediate(resolve))
    expect(isClosed).toBe(false)
    first.resolve()
    await closed
    expect(events).toHaveLength(1)
  })
})

describe('reading', () => {
  const read = (path: Parameters<typeof readEvent>[0], body: Buffer) => {
    const steps = readEvent(path, body, '127.0.0.1')
    for (let count = 0; ; count++) {
      const step = steps.next()
      if (step.done === true) return { event: step.value, steps: count }
    }
  }
  const inField = (value: Buffer): Buffer => Buffer.concat([Buffer.from('{"events":'), value])

  test('agrees with JSON.parse, whatever else is in the body', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.nat(), fc.boolean(), (more, height, pretty) => {
        const body = { ...more, ...block(height, [{ ...more, ...mined(INFER) }]) }
        const { event } = read('/new_block', Buffer.from(JSON.stringify(body, null, pretty ? 2 : 0)))
        expect(event).toEqual(blockEvent(height, [minedEvent]))
      }),
    )
  })

  test('never throws, and never makes an event of a body that lacks its end', () => {
    const whole = Buffer.from(JSON.stringify(block(3, [mined(INFER)])))
    for (let end = 0; end < whole.length; end++)
      expect(read('/new_block', whole.subarray(0, end)).event.is).toBe('unreadable')
    const paths = fc.constantFrom('/new_block', '/new_burn_block', '/drop_mempool_tx', '/submit_infer_task' as const)
    fc.assert(
      fc.property(paths, fc.uint8Array({ maxLength: 300 }), (path, bytes) => {
        expect(read(path as '/new_block', Buffer.from(bytes)).event.is).toBe('unreadable')
      }),
    )
    fc.assert(
      fc.property(fc.nat({ max: whole.length - 1 }), fc.nat({ max: 255 }), (at, byte) => {
        const changed = Buffer.from(whole)
        changed[at] = byte
        expect(['block', 'unreadable']).toContain(read('/new_block', changed).event.is)
      }),
    )
  })

  test.each([
    ['nothing but brackets', inField(Buffer.alloc(4_000_000, '['))],
    ['nothing but spaces', inField(Buffer.alloc(4_000_000, ' '))],
    ['a text that does not end', inField(Buffer.from(`"${'\\\\\\"'.repeat(1_000_000)}`))],
    [
      'many transactions',
      Buffer.from(
        JSON.stringify(
          block(
            1,
            Array.from({ length: 4000 }, () => mined(INFER)),
          ),
        ),
      ),
    ],
    ['large events', Buffer.from(JSON.stringify(block(1, [], { events: ['\\"x'.repeat(2_000_000)] })))],
  ])('is done in many steps: %s', (_, body) => {
    const { steps } = read('/new_block', body)
    expect(steps).toBeGreaterThanOrEqual(Math.floor(body.length / 65_536 / 2))
  })
})
