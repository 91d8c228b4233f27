import { createServer, type RequestListener } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { LogSettings } from '../../src/cluster/connection.js'
import { checkLog, isMajority } from '../../src/cluster/log-check.js'
import { connectLog, initJournal } from '../../src/cluster/nats.js'
import { JournalUnreachable } from '../../src/cluster/port.js'
import { lacksOfStream } from '../../src/cluster/stream.js'
import { ConfigError } from '../../src/lib/config-error.js'
import { silentLog } from '../../src/lib/log.js'
import { clusterOn, logServers, noLogServer } from '../support/log-servers.js'

const SMALL = { maxBytes: 32 * 1024 * 1024 }

/** What a server of the three says of itself where nothing is lacking. */
const good = (i: number) => ({
  server_id: `ID${i}`,
  server_name: `n${i}`,
  version: '2.10.23',
  max_payload: 1048576,
  cluster: { name: 'log' },
  jetstream: { config: { sync_always: true }, meta: { cluster_size: 3 } },
})

async function monitor(answer: RequestListener): Promise<string> {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
/** Where nobody listens. */
async function nowhere(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return `http://127.0.0.1:${port}`
}
const saying = (answer: unknown): Promise<string> =>
  monitor((request, response) => {
    response.statusCode = request.url === '/varz' ? 200 : 404
    response.end(typeof answer === 'string' ? answer : JSON.stringify(answer))
  })
const all = (...answers: unknown[]): Promise<string[]> => Promise.all(answers.map(saying))

test('three servers of one cluster that sync what they acknowledge lack nothing', async () => {
  const report = await checkLog(await all(good(1), good(2), { ...good(3), version: '2.15.1-RC.2' }))
  expect(report).toEqual({
    servers: [1, 2, 3].map((i) => ({ id: `ID${i}`, name: `n${i}`, cluster: 'log' })),
    lacks: [],
    silent: [],
  })
})

test.each([
  ['2.9.10 is too old', { version: '2.9.10' }, /n3 .* runs nats-server 2\.9\.10, .*: install 2\.10\.23 or later/],
  ['2.10.22 is too old', { version: '2.10.22' }, /install 2\.10\.23 or later/],
  ['what is no version is too old', { version: 'new' }, /runs nats-server new/],
  ['a server without JetStream', { jetstream: {} }, /n3 .* runs without JetStream: write jetstream \{/],
  [
    'a server that syncs now and then',
    { jetstream: { config: {}, meta: { cluster_size: 3 } } },
    /n3 .* not on its disk yet: write jetstream \{ sync_interval: always \} in its configuration/,
  ],
  ['a server alone', { cluster: {} }, /n3 .* is in no cluster: write cluster \{/],
  ['a cluster of two', { jetstream: { config: { sync_always: true }, meta: { cluster_size: 2 } } }, /a cluster of 2/],
  ['a server of another cluster', { cluster: { name: 'other' } }, /of different clusters \(log, other\)/],
  ['one server twice', { server_id: 'ID1' }, /are the same log server: name another/],
  ['a server of small messages', { max_payload: 65536 }, /up to 65536 bytes: write max_payload: 1MB/],
])('%s is one sentence that says what to change', async (_, other, said) => {
  const { lacks } = await checkLog(await all(good(1), good(2), { ...good(3), ...other }))
  expect(lacks).toEqual([expect.stringMatching(said)])
})

test('two servers are too few, however good they are', async () => {
  const { lacks } = await checkLog(await all(good(1), good(2)))
  expect(lacks).toEqual([expect.stringMatching(/monitor names 2 .* there must be 3 at least/)])
})

test.each<[string, () => Promise<string>, RegExp]>([
  ['what answers with something else', () => saying('<html>'), /does not answer as the monitoring address/],
  ['what lacks a field', () => saying({ ...good(3), server_id: 7 }), /does not answer as the monitoring address/],
  ['an answer without end', () => saying(`{"a": "${'a'.repeat(600_000)}"}`), /does not answer as the monitoring/],
  [
    'what leads elsewhere',
    () => monitor((_, response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end()),
    /does not answer as the monitoring/,
  ],
  ['what never answers', () => monitor(() => undefined), /has not said within 0\.3 s/],
  ['what nobody listens at', nowhere, /nothing listens there; see whether/],
])('%s is silent, and two of three are a majority', async (_, third, said) => {
  const report = await checkLog([...(await all(good(1), good(2))), await third()], 300)
  expect([report.lacks, report.silent, isMajority(report)]).toEqual([[], [expect.stringMatching(said)], true])
})

test('one of three is no majority, nor two of four', async () => {
  const nobody = await nowhere()
  expect(isMajority(await checkLog([...(await all(good(1))), nobody, nobody]))).toBe(false)
  expect(isMajority(await checkLog([...(await all(good(1), good(2))), nobody, nobody]))).toBe(false)
})

test('a journal that is on two servers yet is one sentence', () => {
  const servers = [1, 2, 3].map((i) => ({ id: `ID${i}`, name: `n${i}`, cluster: 'log' }))
  const config = {
    subjects: ['inf.prod.j'],
    retention: 'limits',
    storage: 'file',
    discard: 'new',
    max_age: 0,
    max_msgs: -1,
    max_msgs_per_subject: -1,
    deny_delete: true,
    num_replicas: 3,
    metadata: {},
  }
  const state = { first_seq: 0, last_seq: 0, bytes: 0 }
  const on = (...replicas: string[]) =>
    lacksOfStream(
      'prod',
      { config, state, cluster: { leader: 'n1', replicas: replicas.map((name) => ({ name })) } },
      servers,
      0,
    )
  expect(on('n2', 'n3')).toEqual([])
  expect(on('n2')).toEqual([expect.stringMatching(/INF_J_prod is on 2 servers, and must be on 3: change it with/)])
})

test('a login in the address is shown to the server', async () => {
  const seen: (string | undefined)[] = []
  const url = await monitor((request, response) => {
    seen.push(request.headers.authorization)
    response.end(JSON.stringify(good(1)))
  })
  await checkLog([url.replace('http://', 'http://me:secret@')])
  expect(seen).toEqual([`Basic ${Buffer.from('me:secret').toString('base64')}`])
})

describe.skipIf(noLogServer !== null)(noLogServer ?? 'of real servers', () => {
  let servers: Awaited<ReturnType<typeof logServers>>
  beforeAll(async () => {
    servers = await logServers()
  })
  afterAll(() => servers.stop())
  const settings = (more: Partial<LogSettings> = {}): LogSettings => clusterOn(servers, more)
  const others = async (options: Parameters<typeof logServers>[0]) => {
    const found = await logServers(options)
    onTestFinished(() => found.stop())
    return { nats: found.urls, monitor: found.monitors }
  }
  /** Both for a new journal and for a start. */
  const refused = async (of: LogSettings, ...said: RegExp[]): Promise<void> => {
    for (const attempt of [() => initJournal(of, SMALL), () => connectLog(of, silentLog())]) {
      const error = await attempt().catch((e: unknown) => e)
      expect(error).toBeInstanceOf(ConfigError)
      for (const one of said) expect(error).toMatchObject({ message: expect.stringMatching(one) })
    }
  }
  /** What somebody has changed of the stream of a journal. */
  const changed = async (change: Record<string, unknown>): Promise<LogSettings> => {
    const of = settings()
    await initJournal(of, SMALL)
    const nc = await connect({ servers: servers.urls })
    onTestFinished(() => nc.close())
    const jsm = await jetstreamManager(nc)
    await jsm.streams.update(`INF_J_${of.name}`, change)
    return of
  }

  test('servers that sync now and then, as they do by default, are refused, each by its name', async () => {
    const of = settings(await others({ sync: 'default' }))
    await refused(of, /n1 .* not on its disk yet/, /n2 .* not on its disk yet/, /n3 .* not on its disk yet/)
  })

  test('one server is refused', async () => {
    await refused(settings(await others({ count: 1 })), /monitor names 1/, /n1 .* is in no cluster/)
  })

  test('a journal on one server is refused', async () => {
    await refused(await changed({ num_replicas: 1 }), /has num_replicas 1, and must have 3/)
  })

  test('a journal that forgets is refused', async () => {
    const forgets = await changed({ max_age: 3_600_000_000_000, discard: 'old', allow_direct: true })
    await refused(forgets, /has max_age 3600000000000/, /has discard "old"/, /has allow_direct true/)
  })

  test('a stream that is no journal is not taken for one', async () => {
    await refused(await changed({ metadata: { inference_journal_id: 'mine' } }), /that is no journal/)
  })

  test('the servers of the log and those that were asked have to be the same', async () => {
    const [one, two, three] = await Promise.all(
      [1, 2, 3].map((i) => saying({ ...good(i), cluster: { name: 'other' } })),
    )
    await refused(settings({ monitor: [one ?? '', two ?? '', three ?? ''] }), /leads to the log "log", and monitor to/)
    const strangers = await all(...[4, 5, 6].map(good))
    const of = settings()
    await initJournal(of, SMALL)
    await refused({ ...of, monitor: strangers }, /n\d, n\d, n\d, whose monitoring address is not in monitor/)
  })

  test('with a server down a coordinator starts, and no journal is made; with two down none starts', async () => {
    const of = settings()
    await initJournal(of, SMALL)
    await servers.kill(2)
    await expect(initJournal(settings(), SMALL)).rejects.toThrow(JournalUnreachable)
    // The one that is down may have led: an election takes some seconds.
    const log = await started(of)
    onTestFinished(() => log.close())
    await servers.kill(1)
    await expect(connectLog(of, silentLog())).rejects.toThrow(JournalUnreachable)
    await Promise.all([servers.restart(1), servers.restart(2)])
  })
})

async function started(of: LogSettings) {
  const end = Date.now() + 30_000
  for (;;) {
    try {
      return await connectLog(of, silentLog())
    } catch (error) {
      if (!(error instanceof JournalUnreachable) || Date.now() > end) throw error
    }
  }
}
