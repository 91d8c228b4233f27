import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { describe, expect, onTestFinished, test } from 'vitest'
import { CLI, cli } from '../support/child.js'
import { command, refusedCommand } from '../support/command.js'
import { closedUrl, startFront } from '../support/front.js'
import { connectNode } from '../support/node-session.js'
import { onTerminal, withoutTerminal } from '../support/pty.js'
import { startService } from '../support/service.js'
import { until } from '../support/wait.js'

const restored = { isCooked: true, isUsual: true }
const title = withoutTerminal === null ? 'on a terminal' : `on a terminal: ${withoutTerminal}`

describe.runIf(withoutTerminal === null)(title, () => {
  test('top shows the four numbers, the views, a filter, what happens while the service is away, and ends with q', async () => {
    const service = await startService()
    const front = await startFront(service)
    const node = await connectNode(service, '老虎', { supported_models: ['llama-3-8b'] })
    await service.submit({ task_id: 'first' })
    node.accept(await node.next('task.assign'))
    await service.submit({ task_id: 'second', model_name: 'nobody-has\u202eit' })

    const top = await onTerminal(['top', '--url', front.url])
    await top.shows('waiting 1 {3}running 1 {3}oldest waiting .+ {3}failed in the last hour 0')
    await top.shows(/nodes 0 online, 1 busy, 0 offline, 0 maintenance {3}slots 0 of 1 free/)
    await top.shows(/llama-3-8b +0/)
    top.type('\t')
    await top.shows(/\[Models\]/)
    top.type('\t')
    await top.shows(/老虎 +busy +# 1 of 1/)
    top.type('/lla')
    await top.shows(/\/lla_ +Enter: done/)
    top.type('\r')
    await top.shows(/only with: lla/)
    top.forget()
    top.type('\x1b')
    await top.shows(/\[Nodes\]/)
    expect(top.sent()).not.toContain('only with')
    top.type('\t')
    await top.shows(/\[Feed\]/)

    top.resize(160, 40)
    await until(() => top.sent().includes('\x1b[40;1H'), 'the last line of 40')

    // From the first event on it knows where it is.
    await service.submit({ task_id: 'third' })
    await top.shows(/pending +llama-3-8b, .+third/)
    front.leadTo(null)
    front.cut()
    await top.shows('NOT CONNECTED: .+; again (?:now|in \\d s)')
    node.complete({ task_id: 'first', attempt: 1 })
    await node.next('task.settled')
    expect(top.sent()).not.toMatch(/completed +llama/)
    front.leadTo(service)
    await top.shows(/completed +llama-3-8b, attempt 1 at 老虎, .+first/)
    expect(top.sent()).not.toContain('\u202e')
    top.type('q')
    expect(await top.ended()).toMatchObject({ ...restored, code: 0, left: '' })
  })

  test('top gives the terminal back after Ctrl-C, signals, an error that nobody has caught, and where it is refused', async () => {
    const service = await startService()
    const at = ['top', '--no-color', '--url', service.url]
    const throwing =
      '--import data:text/javascript,process.on(`SIGUSR2`,()=>{setImmediate(()=>{throw(new(Error)(`it_broke`))})})'
    const ways: [code: number, left: string, end: (top: Awaited<ReturnType<typeof onTerminal>>) => void][] = [
      [0, '', (top) => top.type('\x03')],
      [128 + 2, '', (top) => process.kill(top.pid, 'SIGINT')],
      [128 + 15, '', (top) => process.kill(top.pid, 'SIGTERM')],
      [128 + 1, '', (top) => process.kill(top.pid, 'SIGHUP')],
      [1, 'it_broke', (top) => process.kill(top.pid, 'SIGUSR2')],
    ]
    await Promise.all(
      ways.map(async ([code, left, end]) => {
        const top = await onTerminal(at, { env: { NODE_OPTIONS: throwing } })
        await top.shows('waiting 0 ')
        end(top)
        const ended = await top.ended()
        expect(ended).toMatchObject({ ...restored, code })
        expect(ended.left).toContain(left)
        // Without colours nothing is coloured.
        expect(top.sent()).not.toMatch(/\x1b\[[1-9;]+m/)
      }),
    )
  })

  test('top goes on after it was stopped, and draws everything again', async () => {
    const service = await startService()
    const top = await onTerminal(['top', '--url', service.url])
    await top.shows('waiting 0 ')
    process.kill(top.pid, 'SIGSTOP')
    top.forget()
    process.kill(top.pid, 'SIGCONT')
    await top.shows('waiting 0 ')
    expect(top.sent()).toContain('\x1b[?1049h')
    top.type('q')
    expect(await top.ended()).toMatchObject({ ...restored, code: 0 })
  })
})

/** Without a terminal, and what it has printed so far. */
function piped(url: string) {
  const child = spawn(process.execPath, [CLI, 'top', '--url', url], { stdio: ['ignore', 'pipe', 'pipe'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  const printed = { out: '', err: '' }
  child.stdout.on('data', (text: Buffer) => (printed.out += text.toString()))
  child.stderr.on('data', (text: Buffer) => (printed.err += text.toString()))
  return { child, printed, ended: once(child, 'exit') }
}

test('without a terminal top prints a line at once, says when it is not answered, and ends with its reader', async () => {
  const service = await startService()
  await service.submit()
  const front = await startFront(service)
  const [read, unread] = [piped(front.url), piped(front.url)]
  await until(() => read.printed.out.includes('\n') && unread.printed.out.includes('\n'), 'a line of each')
  expect(read.printed.out).toMatch(
    /^\d{4}-\S+Z {2}1 waiting, 0 running, oldest waiting \d+\.\d s, 0 failed in the last hour; 0 of 0 nodes, 0 of 0 slots free\n$/,
  )
  front.leadTo(null)
  front.cut()
  unread.child.stdout.destroy()
  await until(() => read.printed.out.includes('NOT ANSWERED: '), 'that it is not answered')
  expect(await unread.ended).toEqual([0, null])
  expect(unread.printed.err).toBe('')
  read.child.kill('SIGINT')
  expect(await read.ended).toEqual([130, null])
})

test('top --once prints how it stands, and as JSON what the API says', async () => {
  const service = await startService()
  await service.register('n', { supported_models: ['llama-3-8b'] })
  await service.submit()
  const at = ['--once', '--url', service.url]
  const [{ out }, json] = await Promise.all([command(['top', ...at]), command(['top', ...at, '--json'])])
  expect(out[0]).toMatch(/^waiting 1 {3}running 0 {3}oldest waiting .+ {3}failed in the last hour 0$/)
  expect(out.map((one) => one.split(/ {2,}/)[0])).toEqual([
    'waiting 1',
    'nodes 1 online, 0 busy, 0 offline, 0 maintenance',
    '',
    'model',
    'llama-3-8b',
    '',
    'node',
    'n',
  ])
  const [models, nodes] = await Promise.all(['models', 'nodes'].map((name) => service.get(`/api/v1/${name}`)))
  const found = json.json()
  expect(Object.keys(found)).toEqual(['overview', 'models', 'nodes'])
  expect(found.overview).toMatchObject({ totals: { pending_tasks: 1, total_nodes: 1 }, slots: 1, free_slots: 1 })
  expect(found.models.map((m: { model: string }) => m.model)).toEqual(
    models?.body?.data.map((m: { model: string }) => m.model),
  )
  expect(found.nodes).toEqual(nodes?.body?.data)
})

test('top says in a line what is wrong with its use, that there is no service, and that it may not be watched', async () => {
  await refusedCommand(['top', '--json'], 2, '--json: goes with --once')
  await refusedCommand(['top', 'a'], 2, 'unexpected "a"')
  await refusedCommand(['top', '--url', await closedUrl()], 1, 'start the service')
  const help = cli(['top', '--help'])
  await help.exit
  expect(help.out.join('\n')).toContain('--no-color')
})
