import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import * as v from 'valibot'
import type { LogSettings } from '../../src/cluster/connection.js'
import type { JournalOptions } from '../../src/cluster/journal.js'
import { connectLog, initJournal } from '../../src/cluster/nats.js'
import {
  JournalBehind,
  JournalTruncated,
  JournalUnreachable,
  MAX_MESSAGE_BYTES,
  type ClusterLog,
  type Journal,
  type JournalMessage,
} from '../../src/cluster/port.js'
import { silentLog } from '../../src/lib/log.js'
import { clusterOn, logServers, noLogServer, startLink } from '../support/log-servers.js'
import { until } from '../support/wait.js'

const SMALL = { maxBytes: 32 * 1024 * 1024 }
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const text = (message: Uint8Array | undefined): string => new TextDecoder().decode(message)
const texts = (messages: readonly JournalMessage[]): [number, string][] =>
  messages.map(({ seq, message }) => [seq, text(message)])

describe.skipIf(noLogServer !== null)(noLogServer ?? 'the log on NATS', () => {
  let servers: Awaited<ReturnType<typeof logServers>>
  beforeAll(async () => {
    servers = await logServers()
  })
  afterAll(() => servers.stop())

  const settings = (more: Partial<LogSettings> = {}): LogSettings => clusterOn(servers, more)
  const connected = async (of: LogSettings, options: Partial<JournalOptions> = {}): Promise<ClusterLog> => {
    const log = await connectLog(of, silentLog(), options)
    onTestFinished(() => log.close())
    return log
  }
  /** A journal that is empty, and a second connection to it. */
  const two = async (): Promise<[ClusterLog, ClusterLog]> => {
    const of = settings()
    await initJournal(of, SMALL)
    return Promise.all([connected(of), connected(of)])
  }
  /** Reads on until the test has ended. */
  const reading = (journal: Journal, from: number) => {
    const stop = new AbortController()
    const read: JournalMessage[] = []
    const ended = (async () => {
      for await (const message of journal.read(from, stop.signal)) read.push(message)
    })()
    const outcome = ended.then(
      () => 'ended',
      (error: unknown) => error,
    )
    onTestFinished(async () => {
      stop.abort()
      await outcome
    })
    return { read, stop, outcome }
  }

  test('who starts before there is a journal is told how to make one; of two that make it at once one does', async () => {
    const of = settings()
    await expect(connectLog(of, silentLog())).rejects.toThrow(/has no journal .* run "stacks-signer cluster init/)
    const made = await Promise.all([1, 2].map(() => initJournal(of, SMALL)))
    expect(made.filter(({ created }) => created)).toHaveLength(1)
    expect(made[0]?.id).toBe(made[1]?.id)
    const { journal } = await connected(of)
    expect([journal.id, await journal.last(), await journal.slice(1, 10)]).toEqual([made[0]?.id, null, []])
  })

  test('a journal for which the servers have no room is refused, with what to change', async () => {
    await expect(initJournal(settings(), { maxBytes: 2 ** 52 })).rejects.toThrow(
      /insufficient storage.* raise max_file_store/,
    )
  })

  test('messages that are sent at once, each behind the one before, are stored in their order', async () => {
    const [{ journal }, other] = await two()
    const large = new Uint8Array(MAX_MESSAGE_BYTES).fill(7)
    const sent = [...Array.from({ length: 40 }, (_, i) => bytes(`m${i + 1}`)), large]
    const stored = await Promise.all(sent.map((message, i) => journal.append(i, message)))
    expect(stored).toEqual(sent.map((_, i) => i + 1))
    const found = await other.journal.slice(1, 100)
    expect(texts(found.slice(0, 40))).toEqual(sent.slice(0, 40).map((_, i) => [i + 1, `m${i + 1}`]))
    expect(Buffer.compare(found[40]?.message ?? new Uint8Array(), large)).toBe(0)
    expect(texts(await other.journal.slice(39, 2))).toEqual([
      [39, 'm39'],
      [40, 'm40'],
    ])
    expect((await other.journal.last())?.seq).toBe(41)
    await expect(journal.append(41, new Uint8Array(MAX_MESSAGE_BYTES + 1))).rejects.toThrow(RangeError)
  })

  test('of two that append at one place one is refused, also with the same words', async () => {
    const [one, other] = await two()
    const won = await Promise.all([one.journal.append(0, bytes('fence')), other.journal.append(0, bytes('fence'))])
    expect(won.toSorted()).toEqual([1, null])
    expect(await other.journal.append(1, bytes('next'))).toBe(2)
    expect(await one.journal.append(1, bytes('late'))).toBe(null)
    expect(texts(await one.journal.slice(1, 10))).toEqual([
      [1, 'fence'],
      [2, 'next'],
    ])
  })

  test('what is appended behind a message that is not there is no conflict', async () => {
    const [{ journal }] = await two()
    await journal.append(0, bytes('a'))
    await expect(journal.append(3, bytes('d'))).rejects.toThrow(JournalUnreachable)
    expect(await journal.last()).toMatchObject({ seq: 1 })
  })

  test('an append whose acknowledgement was lost is unknown; sent again it is stored once', async () => {
    const of = settings()
    await initJournal(of, SMALL)
    const other = await connected(of)
    const link = await startLink(servers.urls[0] ?? '')
    const { journal, connected: isConnected } = await connected({ ...of, nats: [link.url] })
    link.deafen()
    const unknown = journal.append(0, bytes('a')).catch((error: unknown) => error)
    await until(() => other.journal.last(), 'the message')
    link.cut()
    expect(await unknown).toBeInstanceOf(JournalUnreachable)
    await until(isConnected, 'the connection')
    expect(await journal.append(0, bytes('a'))).toBe(1)
    expect(await journal.append(1, bytes('b'))).toBe(2)
    expect(texts(await other.journal.slice(1, 10))).toEqual([
      [1, 'a'],
      [2, 'b'],
    ])
  })

  test('without a connection everything is refused at once, and nothing of it is sent later', async () => {
    const of = settings()
    await initJournal(of, SMALL)
    const link = await startLink(servers.urls[0] ?? '')
    const log = await connected({ ...of, nats: [link.url] })
    const other = await connected(of)
    const heard: string[] = []
    other.bus.subscribe('here', (message) => heard.push(text(message)))
    link.open(false)
    link.cut()
    await until(() => !log.connected(), 'the loss')
    const started = performance.now()
    await expect(log.journal.append(0, bytes('lost'))).rejects.toThrow(/is not connected; see whether/)
    await expect(log.journal.last()).rejects.toThrow(JournalUnreachable)
    await expect(log.bus.request('ask', bytes('?'), 5000)).rejects.toThrow(JournalUnreachable)
    expect(performance.now() - started).toBeLessThan(1000)
    log.bus.publish('here', bytes('lost'))
    link.open(true)
    await until(log.connected, 'the connection')
    expect(await log.journal.append(0, bytes('first'))).toBe(1)
    log.bus.publish('here', bytes('back'))
    await until(() => heard.length > 0, 'a message')
    expect(heard).toEqual(['back'])
    expect(texts(await log.journal.slice(1, 10))).toEqual([[1, 'first']])
  })

  test('a server behind which the log gives no answer is left for another', async () => {
    const of = settings()
    await initJournal(of, SMALL)
    const [silent, good] = [await startLink(servers.urls[0] ?? ''), await startLink(servers.urls[1] ?? '')]
    good.open(false)
    const log = await connected({ ...of, nats: [silent.url, good.url] }, { timeout: 1500 })
    good.open(true)
    expect(await log.journal.append(0, bytes('a'))).toBe(1)
    const { read } = reading(log.journal, 1)
    await until(() => read.length === 1, 'the message')
    silent.cutOff()
    await expect(log.journal.append(1, bytes('b'))).rejects.toThrow(JournalUnreachable)
    await until(log.connected, 'the connection to another')
    expect(log.movedAt()).toBeGreaterThan(0)
    expect(await log.journal.append(1, bytes('b'))).toBe(2)
    await until(() => read.length === 2, 'the message behind it')
    // A refusal is an answer.
    const movedAt = log.movedAt()
    expect(await log.journal.append(0, bytes('late'))).toBe(null)
    expect(log.movedAt()).toBe(movedAt)
  })

  test('a reader gets each message once and in order, also when the leader of the stream is killed', async () => {
    const [writer, reader] = await two()
    const { read, stop, outcome } = reading(reader.journal, 3)
    let last = 0
    const append = async (count: number): Promise<void> => {
      const end = last + count
      while (last < end) {
        const sent = Array.from({ length: 5 }, (_, i) => writer.journal.append(last + i, bytes(`m${last + i + 1}`)))
        const outcomes = await Promise.allSettled(sent)
        expect(outcomes).not.toContainEqual({ status: 'fulfilled', value: null })
        last = await until(async () => (await writer.journal.last().catch(() => null))?.seq, 'the newest message')
      }
    }
    await append(50)
    await until(() => read.length === last - 2, 'what was appended')
    const leader = await leaderOf(servers.monitors[0] ?? '', writer.journal)
    const killed = Number(leader.slice(1)) - 1
    await servers.kill(killed)
    await append(50)
    await until(() => read.length === last - 2, 'what was appended after the leader was killed')
    await servers.restart(killed)
    await append(10)
    await until(() => read.length === last - 2, 'what was appended after it has come back')
    expect(texts(read)).toEqual(Array.from({ length: last - 2 }, (_, i) => [i + 3, `m${i + 3}`]))
    stop.abort()
    expect(await outcome).toBe('ended')
  })

  test('who reads what was truncated is told so; what is newer and the newest stay', async () => {
    const [{ journal }, other] = await two()
    const { read } = reading(other.journal, 1)
    for (let i = 0; i < 6; i++) await journal.append(i, bytes(`m${i + 1}`))
    await until(() => read.length === 6, 'all messages')
    await journal.truncate(4)
    await journal.truncate(2)
    await expect(journal.slice(3, 10)).rejects.toThrow(JournalTruncated)
    expect(await reading(other.journal, 3).outcome).toBeInstanceOf(JournalTruncated)
    expect(texts(await journal.slice(4, 10)).map(([seq]) => seq)).toEqual([4, 5, 6])
    await journal.truncate(100)
    expect(await journal.last()).toMatchObject({ seq: 6 })
    expect(await journal.append(2, bytes('late'))).toBe(null)
    expect(await journal.append(6, bytes('m7'))).toBe(7)
    await until(() => read.length === 7, 'the message after it')
  })

  test('a journal that has gone back behind what was read says so', async () => {
    const of = settings()
    await initJournal(of, SMALL)
    const { journal } = await connected(of, { behindFor: 300 })
    await journal.append(0, bytes('a'))
    const error = await reading(journal, 9).outcome
    expect(error).toBeInstanceOf(JournalBehind)
    expect(error).toMatchObject({ message: expect.stringContaining('ends at message 1, before 8') })
  })

  test('a reader ends when the connection is closed', async () => {
    const of = settings()
    await initJournal(of, SMALL)
    const log = await connectLog(of, silentLog())
    await log.journal.append(0, bytes('a'))
    const { read, outcome } = reading(log.journal, 1)
    await until(() => read.length === 1, 'the message')
    await log.close()
    expect(await outcome).toBeInstanceOf(JournalUnreachable)
    expect(log.connected()).toBe(false)
  })

  test('coordinators tell each other and ask each other; a fault of who answers is no silence', async () => {
    const [{ bus }, { bus: other }] = await two()
    const heard: string[] = []
    const ends = [
      other.subscribe('here', (message) => {
        heard.push(text(message))
        throw new Error('a fault of who is told')
      }),
      other.answer('op.0', (message) => Promise.resolve(bytes(`${text(message)}!`))),
      other.answer('op.1', () => Promise.reject(new Error('a fault of who answers'))),
    ]
    expect(text(await until(() => bus.request('op.0', bytes('hello'), 500).catch(() => null), 'an answer'))).toBe(
      'hello!',
    )
    for (const word of ['one', 'two']) bus.publish('here', bytes(word))
    await until(() => heard.length === 2, 'both words')
    expect(heard).toEqual(['one', 'two'])
    await expect(bus.request('op.1', bytes('?'), 30_000)).rejects.toThrow(/has failed; its log says why/)
    await expect(bus.request('op.2', bytes('?'), 30_000)).rejects.toThrow(JournalUnreachable)
    for (const end of ends) end()
    await until(
      () =>
        bus.request('op.0', bytes('?'), 100).then(
          () => false,
          (error: unknown) => error instanceof JournalUnreachable,
        ),
      'the end of the answers',
    )
    expect(() => bus.publish('here', new Uint8Array(1024 * 1024 + 1))).toThrow(/1048576 are the most/)
    expect(() => bus.publish('j', bytes('?'))).toThrow(/no topic/)
  })
})

const detail = v.object({
  config: v.object({ metadata: v.looseObject({}) }),
  cluster: v.object({ leader: v.string() }),
})
const streams = v.object({ account_details: v.array(v.object({ stream_detail: v.array(detail) })) })

/** The name of the server that leads the stream of a journal. */
async function leaderOf(monitor: string, { id }: Journal): Promise<string> {
  const response = await fetch(`${monitor}/jsz?accounts=true&streams=true&config=true`)
  const { account_details } = v.parse(streams, await response.json())
  const found = account_details
    .flatMap((a) => a.stream_detail)
    .find((s) => s.config.metadata['inference_journal_id'] === id)
  return found?.cluster.leader ?? ''
}
