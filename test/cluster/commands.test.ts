import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { cli, type Child } from '../support/child.js'
import { inProcess, refusedInProcess } from '../support/command.js'
import { coordinatorsOf, type TestCoordinator } from '../support/coordinators.js'
import { logServers, noLogServer } from '../support/log-servers.js'
import { until } from '../support/wait.js'

const MAX_BYTES = String(256 * 1024 * 1024)

describe.skipIf(noLogServer !== null)(noLogServer ?? 'the commands of a cluster', () => {
  let servers: Awaited<ReturnType<typeof logServers>>
  beforeAll(async () => {
    servers = await logServers()
  })
  afterAll(() => servers.stop())

  const two = async (): Promise<[TestCoordinator, TestCoordinator]> => {
    const [a, b] = await coordinatorsOf(
      { name: `t${randomBytes(4).toString('hex')}`, urls: servers.urls, monitors: servers.monitors },
      2,
    )
    if (a === undefined || b === undefined) throw new Error('there are no two')
    return [a, b]
  }
  const run = (words: string, { config }: TestCoordinator, ...more: string[]) =>
    inProcess([...words.split(' '), '--config', config, ...more])
  const init = (of: TestCoordinator) => run('cluster init', of, '--max-bytes', MAX_BYTES)
  /** Both of them, the first as the owner. */
  const running = async (): Promise<[TestCoordinator, TestCoordinator, Child, Child]> => {
    const [a, b] = await two()
    await init(a)
    const first = await a.start('owner')
    return [a, b, first, await b.start('follower')]
  }
  const adminAt = async (of: TestCoordinator, name: string, ...more: string[]) => {
    const { out, err } = await run('tokens create', of, '--role', 'admin', '--name', name, ...more)
    return { token: out[0] ?? '', warnings: err.filter((line) => line.startsWith('Warning')) }
  }
  const asked = async ({ url }: TestCoordinator, headers: Record<string, string>): Promise<number> =>
    (await fetch(`${url}/api/v1/tokens`, { headers })).status
  /** Waits until a token opens the service, and nothing does without: the service looks for what commands have changed. */
  const opens = (of: TestCoordinator, token: string): Promise<boolean> =>
    until(
      async () => (await asked(of, { authorization: `Bearer ${token}` })) === 200 && (await asked(of, {})) === 401,
      `the token at ${of.name}`,
    )
  const stop = async (child: Child): Promise<void> => {
    child.process.kill('SIGTERM')
    await child.exit
  }

  test('init makes the journal once; without room for it, it names the flag that makes it smaller', async () => {
    const [a] = await two()
    await refusedInProcess(['cluster', 'status', '--config', `${a.config}.none`], 2, ['cannot be read'])
    await refusedInProcess(['cluster', 'init', '--config', a.config, '--max-bytes', '999999999999999'], 2, [
      'or make the journal smaller with --max-bytes',
    ])
    await refusedInProcess(['cluster', 'init', '--config', a.config, '--max-bytes', '1k'], 2, ['--max-bytes: must be'])
    expect((await run('cluster status', a, '--json')).json()).toMatchObject({
      ok: false,
      journal: null,
      problems: [expect.stringContaining('cluster init'), expect.stringContaining('no coordinator is there')],
    })
    expect((await init(a)).out[0]).toContain('is made')
    expect((await init(a)).out[0]).toContain('was there already')
    expect((await run('cluster init', a, '--json')).json()).toMatchObject({ created: false })
  })

  test('a token that a command makes at the owner is good at the follower that takes over', async () => {
    const [a, b, first] = await running()
    const { token, warnings } = await adminAt(a, 'me')
    expect([warnings, await opens(a, token)]).toEqual([[], true])
    expect((await run('nodes invite', a)).out[0]).toContain(`--coordinator ${a.url} --invite`)
    await refusedInProcess(['tokens', 'create', '--role', 'admin', '--name', 'x', '--config', b.config], 1, [
      'this coordinator follows',
      a.url,
    ])
    expect((await run('tokens list', b, '--json')).json()).toHaveLength(1)
    first.process.kill('SIGKILL')
    await b.is('owner')
    await opens(b, token)
    // What a command writes now is of the new epoch.
    const second = await adminAt(b, 'another')
    expect([second.warnings, await opens(b, second.token)]).toEqual([[], true])
    const verified = await run('cluster verify', b, '--json')
    expect([verified.code, verified.json()]).toMatchObject([0, { ok: true, fences: 2, findings: [] }])
  })

  test('status shows who owns the work and who follows; leave changes that, and says who has it', async () => {
    const [a, b] = await running()
    const before = await run('cluster status', a, '--json')
    expect([before.code, before.json()]).toMatchObject([
      0,
      {
        ok: true,
        owner: 'c1',
        coordinators: [
          { coordinator: 'c1', role: 'owner', url: a.url },
          { coordinator: 'c2', role: 'follower', url: b.url, behind_records: 0 },
        ],
        problems: [],
      },
    ])
    await expect(run('cluster leave', b)).rejects.toThrow('c2 does not leave: this coordinator does not own the work')
    await expect(run('cluster leave', a, '--coordinator', 'c9')).rejects.toThrow('no coordinator named c9 has answered')
    expect((await run('cluster leave', b, '--coordinator', 'c1')).out[0]).toContain('c2')
    await a.is('follower')
    await until(async () => {
      const { code, out } = await run('cluster status', a)
      return code === 0 && /c2 +owner/.test(out.join('\n'))
    }, 'a status that is well, with c2 as the owner')
  })

  test('a change while no service runs waits for its start, and says so; status knows that nobody is there', async () => {
    const [a] = await two()
    await init(a)
    await stop(await a.start('owner'))
    expect(await run('cluster status', a)).toMatchObject({ code: 1 })
    const { token, warnings } = await adminAt(a, 'me')
    expect(warnings).toEqual([expect.stringContaining('durable on this machine only so far: no service runs here')])
    await a.start('owner')
    await opens(a, token)
    const verified = (await run('cluster verify', a, '--json')).json()
    expect(verified).toMatchObject({ ok: true, findings: [] })
    expect(verified.compared).toBeGreaterThanOrEqual(3)
  })

  test('a coordinator that may not begin says why, ends, and is no part of the cluster any more', async () => {
    const [a] = await two()
    await init(a)
    const child = cli(['run-inference-service', '--config', a.config, '--api-host', '0.0.0.0'])
    expect(await child.exit).toEqual({ code: 2, signal: null })
    expect(child.err.at(-1)).toContain('lets anybody in')
    expect((await run('cluster status', a, '--json')).json()).toMatchObject({ coordinators: [] })
  })

  test('rebuild begins a new journal with a file, which the others copy', async () => {
    const [a, b, first, second] = await running()
    const { token } = await adminAt(a, 'me')
    const rebuild = ['cluster', 'rebuild', '--config', a.config, '--max-bytes', MAX_BYTES]
    await refusedInProcess(rebuild, 1, ['another coordinator is running on this database'])
    await stop(first)
    await b.is('owner')
    await refusedInProcess(rebuild, 1, ['coordinators of this cluster run (c2)'])
    await stop(second)
    await refusedInProcess(rebuild, 1, ['the log has a journal of this cluster', 'LACKS', '--replace'])
    const other = await refusedJournal(b)
    const rebuilt = await inProcess([...rebuild, '--replace'])
    expect(rebuilt.err[0]).toContain('Removing: the log has a journal')
    expect(rebuilt.out[0]).toContain('Start c1 on it first')
    // The file of the other is a stranger to it from now on.
    expect((await run('cluster verify', b)).out.join('\n')).toContain('belongs to another journal')
    expect(other).toContain('has all of it')
    expect(other).toMatch(/c2.* ends with record \d+ of epoch 2, and has all of it/)
    await a.start('owner')
    await b.start('follower')
    expect(readdirSync(dirname(b.file)).some((name) => name.includes('.other-journal-'))).toBe(true)
    expect(await run('cluster leave', a)).toMatchObject({ code: 0 })
    await b.is('owner')
    await opens(b, token)
    expect((await run('cluster verify', b, '--json')).json()).toMatchObject({ ok: true, first: { n: 1, epoch: 3 } })
  })

  test('rebuild on a log that has lost its stream says with which record a file ends, and begins nothing unless told to', async () => {
    const [a] = await two()
    await init(a)
    await stop(await a.start('owner'))
    const nc = await connect({ servers: servers.urls })
    onTestFinished(() => nc.close())
    const { streams } = await jetstreamManager(nc)
    const [, name = ''] =
      /^name = "(.*)"$/m.exec(readFileSync(a.config, 'utf8').split('[inference.cluster]')[1] ?? '') ?? []
    const names = async (): Promise<string[]> => (await streams.names().next()).filter((one) => one.endsWith(name))
    expect(await names()).toHaveLength(1)
    await streams.delete(`INF_J_${name}`)
    const rebuild = ['cluster', 'rebuild', '--config', a.config, '--max-bytes', MAX_BYTES]
    await refusedInProcess(rebuild, 1, ['the log has no journal of this cluster', ' of epoch 1. To begin', '--replace'])
    expect(await names()).toEqual([])
    const rebuilt = await inProcess([...rebuild, '--replace'])
    expect([rebuilt.err, await names()]).toEqual([[], [`INF_J_${name}`]])
    await a.start('owner')
    expect((await run('cluster verify', a, '--json')).json()).toMatchObject({ ok: true, first: { n: 1, epoch: 2 } })
  })

  /** What rebuild would remove, were it begun with the file of this one. */
  const refusedJournal = ({ config }: TestCoordinator): Promise<string> =>
    inProcess(['cluster', 'rebuild', '--config', config]).then(
      () => 'it was not refused',
      (error: unknown) => String(error),
    )
})
