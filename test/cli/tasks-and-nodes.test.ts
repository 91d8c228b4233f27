import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, onTestFinished, test } from 'vitest'
import { CLI, cli } from '../support/child.js'
import { connectNode } from '../support/node-session.js'
import { type Service, startService } from '../support/service.js'
import { until } from '../support/wait.js'

/** What a command prints against a service. */
async function run(service: Pick<Service, 'url'>, ...args: string[]): Promise<string[]> {
  const child = cli([...args, '--url', service.url])
  expect({ ...(await child.exit), err: child.err }, args.join(' ')).toEqual({ code: 0, signal: null, err: [] })
  return child.out
}
/** One line on standard error, that says all of `parts`, nothing on standard output, and this exit code. */
async function refused(args: string[], code: number, ...parts: string[]): Promise<void> {
  const child = cli(args)
  expect(await child.exit, args.join(' ')).toEqual({ code, signal: null })
  expect(child.err).toHaveLength(1)
  expect(child.out).toEqual([])
  for (const part of parts) expect(child.err[0]).toContain(part)
}
const json = (lines: string[]): any => JSON.parse(lines.join('\n')) // oxlint-disable-line typescript/no-explicit-any -- tests read any field

test('tasks submit prints the task_id alone, and the service has every field', async () => {
  const service = await startService()
  await service.register('n')
  const given = [
    '--model',
    'llama-3-8b',
    '--user',
    'ST1',
    '--prompt',
    'Hauptstadt von Frankreich? ✓',
    '--context',
    'Erdkunde',
    '--infer-fee',
    '2500',
    '--max-infer-time',
    '30',
    '--task-id',
    'a b',
  ]
  expect(await run(service, 'tasks', 'submit', ...given)).toEqual(['a b'])
  expect(await service.status('a b')).toMatchObject({
    user_address: 'ST1',
    user_input: 'Hauptstadt von Frankreich? ✓',
    context: 'Erdkunde',
    infer_fee: 2500,
    max_infer_time: 30,
    model_name: 'llama-3-8b',
  })
  expect(await run(service, 'tasks', 'submit', ...given)).toEqual(['a b']) // the same again
  const [made = ''] = await run(service, 'tasks', 'submit', '--model', 'llama', '--user', 'ST1', '--prompt=-5 degrees?')
  expect(await service.status(made)).toMatchObject({
    user_input: '-5 degrees?',
    infer_fee: 0,
    max_infer_time: 300,
    context: '',
  })
  expect(
    json(
      await run(
        service,
        'tasks',
        'submit',
        '--json',
        '--model',
        'llama',
        '--user',
        'ST1',
        '--prompt',
        'x',
        '--task-id',
        'j',
      ),
    ),
  ).toEqual({ task_id: 'j' })
})

test('tasks submit says on standard error that no node serves the model, and which names are near', async () => {
  const service = await startService()
  await service.register('n', { supported_models: ['mistral'] })
  const submit = ['tasks', 'submit', '--user', 'u', '--prompt', 'x', '--model', 'mistrl', '--url', service.url]
  const child = cli([...submit, '--task-id', 'a'])
  expect(await child.exit).toEqual({ code: 0, signal: null })
  expect(child.out).toEqual(['a'])
  expect(child.err).toEqual([
    'stacks-signer: warning: no registered node serves mistrl, so the task waits for one that does; did you mean mistral?',
  ])
  expect(json(await run(service, ...submit, '--json'))).toMatchObject({ warnings: [{ did_you_mean: ['mistral'] }] })
})

test('tasks submit reads a prompt from standard input, byte for byte', async () => {
  const service = await startService()
  const child = spawn(
    process.execPath,
    [
      CLI,
      'tasks',
      'submit',
      '--model',
      'llama',
      '--user',
      'u',
      '--task-id',
      'piped',
      '--prompt',
      '-',
      '--url',
      service.url,
    ],
    { stdio: ['pipe', 'ignore', 'inherit'] },
  )
  onTestFinished(() => void child.kill('SIGKILL'))
  child.stdin.end('one\ntwo ✓\n')
  expect(await once(child, 'exit')).toEqual([0, null])
  expect(await service.status('piped')).toMatchObject({ user_input: 'one\ntwo ✓\n' })
})

test('tasks list prints a table, filters, and says how to go on', async () => {
  const service = await startService()
  await service.register('n')
  for (const task_id of ['a', 'b', 'c'])
    await service.submit({ task_id, user_address: task_id === 'c' ? 'ST2' : 'ST1' })
  await service.poll('n')
  const all = await run(service, 'tasks', 'list')
  expect(all[0]).toMatch(/^task +status +model +user +fee +attempt +node +created +error$/)
  expect(all.slice(2).map((line) => line.split(/ {2,}/).slice(0, 2))).toEqual([
    ['c', 'pending'],
    ['b', 'pending'],
    ['a', 'in_progress'],
  ])
  expect(all[4]).toMatch(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/)
  const ids = async (...flags: string[]): Promise<string[]> =>
    json(await run(service, 'tasks', 'list', '--json', ...flags)).tasks.map((t: { task_id: string }) => t.task_id)
  expect(await ids('--status', 'pending', '--user', 'ST1')).toEqual(['b'])
  expect(await ids('--node', 'n')).toEqual(['a'])
  expect(await ids('--model', 'LLAMA')).toEqual(['c', 'b', 'a'])
  const first = await run(service, 'tasks', 'list', '--limit', '2')
  const cursor = /--cursor (\d+)$/.exec(first.at(-1) ?? '')?.[1] ?? ''
  expect(await ids('--limit', '2', '--cursor', cursor)).toEqual(['a'])
  expect((await run(service, 'tasks', 'list', '--status', 'timeout')).slice(2)).toEqual([])
})

test('tasks show prints the task, why it waits, its attempts and its earlier ends', async () => {
  const service = await startService()
  await service.submit({ task_id: 'a', user_input: 'line one\nline two' })
  expect((await run(service, 'tasks', 'show', 'a')).find((l) => l.startsWith('waits'))).toMatch(
    /no registered node serves llama-3-8b; position 1$/,
  )
  const node = await connectNode(service, 'n')
  const { attempt } = await node.next('task.assign')
  // What a node says must not move the cursor of an operator's terminal.
  node.say({ type: 'task.fail', task_id: 'a', attempt, error: 'bad \u001b[2J news', retryable: false })
  await node.next('task.settled')
  await service.send('POST', '/api/v1/tasks/a/retry')
  node.complete(await node.next('task.assign'), 'Paris')
  await node.next('task.settled')
  const text = (await run(service, 'tasks', 'show', 'a')).join('\n')
  for (const part of [
    'status      completed',
    'line one\nline two',
    'Paris',
    'confidence 0.9',
    'bad \\x1b[2J news',
    'ended before, and retried',
  ])
    expect(text).toContain(part)
  expect(text).not.toContain('\u001b')
  expect(text).toMatch(/^# +node +transport +assigned +accepted +ended +first word +took +end +fault$/m)
  expect(text).toMatch(/^1 +n +websocket .* failed +task$/m)
  expect(text).toMatch(/^2 +n +websocket .* completed +-$/m)
  expect(text).toMatch(/^error of #1: bad/m)
  expect(json(await run(service, 'tasks', 'show', 'a', '--json'))).toEqual(
    (await service.get('/api/v1/tasks/a')).body?.data,
  )
})

test('tasks show says of each node that serves the model why it does not have the task', async () => {
  const service = await startService()
  await service.register('drained')
  await service.send('POST', '/api/v1/nodes/drained/drain')
  const busy = await connectNode(service, 'busy')
  await service.submit({ task_id: 'a' })
  busy.accept(await busy.next('task.assign'))
  await service.submit({ task_id: 'b' })
  const lines = await run(service, 'tasks', 'show', 'b')
  expect(lines.filter((line) => /^(busy|drained) /.test(line)).sort()).toEqual([
    'busy     is busy',
    'drained  is drained: an operator gives it nothing new',
  ])
})

test('tasks cancel and tasks retry do what they say', async () => {
  const service = await startService()
  await service.submit({ task_id: 'a' })
  expect(await run(service, 'tasks', 'cancel', 'a')).toEqual(['a: cancelled'])
  expect(await service.status('a')).toMatchObject({ status: 'failed', error: 'cancelled' })
  expect(await run(service, 'tasks', 'retry', 'a')).toEqual(['a: queued again'])
  expect(await service.status('a')).toMatchObject({ status: 'pending' })
  expect(json(await run(service, 'tasks', 'cancel', 'a', '--json'))).toBe('Task cancelled')
})

test('nodes list, drain, resume and forget', async () => {
  const service = await startService()
  const node = await connectNode(service, 'in session', { max_concurrent_tasks: 4 })
  await service.register('polls')
  const rows = async (): Promise<string[][]> =>
    (await run(service, 'nodes', 'list')).slice(2).map((l) => l.split(/ {2,}/))
  expect((await rows()).map((r) => r.slice(0, 5))).toEqual([
    ['in session', 'online', 'websocket', 'llama', '0/4'],
    ['polls', 'online', 'rest', 'llama', '0/1'],
  ])
  expect(await run(service, 'nodes', 'drain', 'polls')).toEqual(['polls: drains'])
  expect((await rows())[1]?.[1]).toBe('maintenance (drained)')
  expect(await run(service, 'nodes', 'resume', 'polls')).toEqual(['polls: gets tasks again'])
  expect(await run(service, 'nodes', 'forget', 'in session')).toEqual(['in session: forgotten'])
  expect(await node.closed).toMatchObject({ code: 1000 })
  expect(json(await run(service, 'nodes', 'list', '--json'))).toEqual((await service.get('/api/v1/nodes')).body?.data)
  expect((await rows()).map((r) => r[0])).toEqual(['polls'])
})

test('what the service refuses is its sentence, and exit code 1', async () => {
  const service = await startService()
  const at = ['--url', service.url]
  await refused(['tasks', 'show', 'nothing', ...at], 1, 'there is no task nothing')
  await refused(['tasks', 'cancel', 'nothing', ...at], 1, 'there is no task nothing')
  await refused(['nodes', 'drain', 'nobody', ...at], 1, 'there is no node nobody')
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'a' })
  node.complete(await node.next('task.assign'))
  await node.next('task.settled')
  await refused(['tasks', 'retry', 'a', ...at], 1, 'a is completed and cannot be retried')
  await refused(
    ['tasks', 'submit', ...at, '--task-id', 'a', '--model', 'm', '--user', 'u', '--prompt', 'other'],
    1,
    'taken by a task with other content',
  )
})

test('wrong usage is one line and exit code 2, and asks no service', async () => {
  await refused(['tasks'], 2, 'tasks list', 'tasks submit')
  await refused(['tasks', 'frobnicate'], 2, 'frobnicate', 'tasks show')
  await refused(['tasks', 'toString'], 2, 'toString')
  await refused(['nodes', 'frobnicate'], 2, 'frobnicate', 'nodes drain')
  await refused(['tasks', 'list', '--stats', 'pending'], 2, 'tasks list', '--stats', '--status')
  await refused(['tasks', 'list', '--status', 'done'], 2, '--status', 'pending')
  await refused(['tasks', 'list', '--limit', '1001'], 2, '--limit', '1000')
  await refused(['tasks', 'list', '--cursor', 'x'], 2, '--cursor')
  await refused(['tasks', 'list', 'a'], 2, '"a"')
  await refused(['tasks', 'show'], 2, 'ID')
  await refused(['tasks', 'show', 'a', 'b'], 2, '"b"')
  await refused(['tasks', 'show', 'a/b'], 2, 'ID: must be', '128 characters')
  await refused(['nodes', 'forget', '..'], 2, '128 characters')
  await refused(['tasks', 'submit', '--model', 'm', '--user', 'u'], 2, '--prompt')
  await refused(
    ['tasks', 'submit', '--model', 'm', '--user', 'u', '--prompt', 'x', '--infer-fee', '1.5'],
    2,
    '--infer-fee',
  )
  await refused(
    ['tasks', 'submit', '--model', 'm', '--user', 'u', '--prompt', 'x', '--max-infer-time', 'soon'],
    2,
    '--max-infer-time',
    'seconds',
  )
  await refused(
    ['tasks', 'submit', '--model', '', '--user', '', '--prompt', 'x', '--infer-fee', '-1'],
    2,
    '--user: must have at least 1 character; --infer-fee: must be an integer',
    '--model: must have',
  )
})

test('help lists the commands below a command, and the flags of each', async () => {
  const help = async (...args: string[]): Promise<string> => {
    const child = cli([...args, '--help'], { env: { NO_COLOR: '1' } })
    expect(await child.exit).toMatchObject({ code: 0 })
    return child.out.join('\n')
  }
  const tasks = await help('tasks')
  for (const command of ['list', 'show', 'cancel', 'retry', 'submit']) expect(tasks).toContain(command)
  const list = await help('tasks', 'list')
  for (const flag of [
    'tasks list',
    '--status',
    '--model',
    '--user',
    '--node',
    '--limit',
    '--cursor',
    '--url',
    '--json',
    '8080',
  ])
    expect(list).toContain(flag)
  expect(await help('nodes')).toContain('forget')
  expect(await help('nodes', 'drain')).toContain('ID')
  expect(await help()).toContain('nodes')
})

test('the address may end with a slash', async () => {
  const service = await startService()
  await until(async () => (await service.get('/health')).status === 200)
  const child = cli(['nodes', 'list', '--json', '--url', `${service.url}/`])
  expect(await child.exit).toMatchObject({ code: 0 })
  expect(child.out).toEqual(['[]'])
})
