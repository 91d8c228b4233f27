import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { describe, expect, onTestFinished, test } from 'vitest'
import { paramsOf, promptFields } from '../../src/commands/ask/prompt.js'
import { as, OTHER, startGuarded } from '../support/access.js'
import { CLI, cli, type Child } from '../support/child.js'
import { accepted, speaker } from '../support/client.js'
import { refusedCommand } from '../support/command.js'
import { FEATURES, startAsked } from '../support/openai.js'
import { connectNode, fail } from '../support/node-session.js'
import type { Service } from '../support/service.js'
import { terminalChild } from '../support/terminal.js'
import { until } from '../support/wait.js'

const ask = (service: Pick<Service, 'url'>, ...more: string[]): Child =>
  cli(['ask', 'What is a lease?', '--model', 'llama-3-8b', ...more], { env: { STACKS_SIGNER_URL: service.url } })
const nodeOf = (service: Pick<Service, 'host'>, id = 'n') => connectNode(service, id, { features: FEATURES })
/** The only task there is. */
const onlyTask = async (service: Pick<Service, 'get'>) => {
  const { tasks } = (await service.get('/api/v1/tasks')).body?.data as { tasks: { task_id: string }[] }
  expect(tasks).toHaveLength(1)
  return tasks[0]?.task_id ?? ''
}

test('the answer is streamed to standard output; what was not said is as /v1 of the service has it', async () => {
  const service = await startAsked({ user_address: 'ST1-SOMEBODY', infer_fee: 7, max_infer_time: 42 })
  const node = await nodeOf(service)
  const child = ask(service, '--system', 'Be short.')
  const assigned = await accepted(node)
  expect(assigned).toMatchObject({ user_input: 'What is a lease?', context: 'Be short.', infer_fee: 7, max_infer_time: 42, stream: true }) // prettier-ignore
  expect(assigned.params).toBeUndefined()
  speaker(node, assigned)('A right\n\u001b[1mfor')
  // The first line is there before the answer has ended. Byte for byte: whoever reads it is no terminal.
  await until(() => child.out.length > 0, 'the first line')
  node.complete(assigned, 'A right\n\u001b[1mfor a time.')
  expect(await child.exit).toEqual({ code: 0, signal: null })
  expect([child.out, child.err]).toEqual([['A right', '\u001b[1mfor a time.'], []])
  expect(await service.status(assigned.task_id)).toMatchObject({ user_address: 'ST1-SOMEBODY' })
})

test('flags say what the task is, and parameters are JSON or else text', async () => {
  const service = await startAsked({ user_address: 'ST1-SOMEBODY' })
  const node = await nodeOf(service)
  const flags = ['--user', 'ST2-ELSE', '--infer-fee', '11', '--max-infer-time', '33']
  const params = ['--param', 'temperature=0.2', '--param=stop=["."]', '--param', 'reasoning_effort=low']
  const child = ask(service, ...flags, ...params)
  const assigned = await accepted(node)
  expect(assigned).toMatchObject({
    infer_fee: 11,
    max_infer_time: 33,
    params: { temperature: 0.2, stop: ['.'], reasoning_effort: 'low' },
  })
  node.complete(assigned, 'yes')
  expect(await child.exit).toEqual({ code: 0, signal: null })
  expect(await service.status(assigned.task_id)).toMatchObject({ user_address: 'ST2-ELSE' })
})

test('with --json each event is a line, as over server-sent events', async () => {
  const service = await startAsked()
  const child = ask(service, '--json')
  await until(() => child.out.length > 0, 'the first event')
  const node = await nodeOf(service)
  const assigned = await accepted(node)
  const { task_id } = assigned
  speaker(node, assigned)('hm', 'reasoning')
  node.complete(assigned, 'yes')
  expect(await child.exit).toEqual({ code: 0, signal: null })
  expect(child.out.map((line) => JSON.parse(line) as unknown)).toMatchObject([
    { event: 'status', task_id, status: 'pending', attempt: 0 },
    { event: 'status', task_id, status: 'in_progress', attempt: 1 },
    { event: 'output', task_id, attempt: 1, channel: 'reasoning', offset: 0, delta: 'hm' },
    { event: 'output', task_id, attempt: 1, channel: 'text', offset: 0, delta: 'yes' },
    { event: 'result', task_id, status: 'completed', result: { output: 'yes' }, error: null },
  ])
})

test('- reads the question from standard input, and --no-wait prints the task_id alone', async () => {
  const service = await startAsked()
  const args = [CLI, 'ask', '-', '--model', 'llama-3-8b', '--url', service.url, '--no-wait']
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'pipe'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  child.stdin.end('a long question\nof two lines\n')
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  const task_id = await onlyTask(service)
  expect([out, child.exitCode]).toEqual([`${task_id}\n`, 0])
  expect(err).toMatch(/^stacks-signer: warning: .*llama-3-8b/)
  expect(await service.status(task_id)).toMatchObject({
    user_input: 'a long question\nof two lines',
    status: 'pending',
  })
})

test('a task that fails is exit code 1, one that times out 3, each with one line that says why', async () => {
  const service = await startAsked({}, { timeout_attempts: 1, accept_timeout: 60 })
  const node = await nodeOf(service)
  const failing = ask(service)
  fail(node, await accepted(node), false, 'no \u001b[2J memory')
  expect(await failing.exit).toEqual({ code: 1, signal: null })
  expect([failing.out, failing.err]).toEqual([[], ['stacks-signer: no \\x1b[2J memory']])
  const late = ask(service, '--max-infer-time', '1')
  speaker(node, await accepted(node))('half of')
  expect(await late.exit).toEqual({ code: 3, signal: null })
  expect(late.out).toEqual(['half of'])
  expect(late.err).toHaveLength(1)
})

test.each(['waits', 'streams'] as const)('Ctrl-C cancels a task that %s, and says so', async (state) => {
  const service = await startAsked()
  const node = state === 'streams' ? await nodeOf(service) : null
  const child = ask(service)
  if (node !== null) {
    speaker(node, await accepted(node))('half\n')
    await until(() => child.out.length > 0, 'the first words')
  } else await until(() => child.err.some((line) => line.includes('waiting, position 1')), 'why it waits')
  const task_id = await onlyTask(service)
  child.process.kill('SIGINT')
  expect(await child.exit).toEqual({ code: 130, signal: null })
  expect(child.err.at(-1)).toBe(`stacks-signer: ${task_id} is cancelled`)
  await node?.next('task.cancel', { task_id })
  expect(await service.status(task_id)).toMatchObject({ status: 'failed', error: 'cancelled' })
})

test('where a program reads, an answer that begins anew is a failure: what was printed does not count', async () => {
  const service = await startAsked()
  const first = await nodeOf(service, 'first')
  const child = ask(service)
  const one = await accepted(first)
  speaker(first, one)('one\n')
  await until(() => child.out.length > 0, 'the first words')
  fail(first, one)
  const second = await nodeOf(service, 'second')
  const two = await accepted(second)
  speaker(second, two)('two\n')
  expect(await child.exit).toEqual({ code: 1, signal: null })
  expect(child.out).toEqual(['one'])
  expect(child.err).toEqual([expect.stringContaining(`tasks watch ${two.task_id} has the whole answer`)])
  second.complete(two, 'two\n')
  await service.reaches(two.task_id, 'completed')
})

test('a token is shown, and the task is its owner’s', async () => {
  let user = ''
  const service = await startGuarded({}, (token) => (user = token('user', { owners: [OTHER] })))
  const args = ['ask', 'q', '--model', 'llama-3-8b', '--no-wait', '--url', service.url]
  const child = cli(args, { env: { STACKS_SIGNER_TOKEN: user } })
  expect(await child.exit).toEqual({ code: 0, signal: null })
  expect((await as(service, user).get(`/api/v1/tasks/${child.out[0]}`)).body?.data).toMatchObject({
    user_address: OTHER,
  })
  await refusedCommand(args, 1, 'token')
})

test('what is wrong is one line: no service, no model, a wrong flag', async () => {
  const url = 'http://127.0.0.1:9'
  await refusedCommand(['ask', 'q', '--model', 'm', '--url', url], 1, 'cannot be reached')
  const service = await startAsked()
  await refusedCommand(
    ['ask', 'q', '--model', 'm', '--url', service.url, '--max-infer-time', '0'],
    2,
    '--max-infer-time',
  )
  await refusedCommand(['ask', 'q', '--model', 'm', '--url', service.url, '--param', 'hot'], 2, '--param', 'NAME=VALUE')
  await refusedCommand(['ask', 'q', 'more', '--model', 'm', '--url', service.url], 2, 'unexpected "more"')
})

/** `script` gives a command a terminal. */
describe.runIf(spawnSync('script', ['--version']).status === 0)('on a terminal', () => {
  test('why it waits is in a line that is gone when the answer comes, without what controls the terminal', async () => {
    const service = await startAsked()
    const child = terminalChild(['ask', 'q', '--model', 'llama-3-8b', '--url', service.url])
    await until(() => child.printed().includes('waiting, position 1: '), 'why it waits')
    const node = await nodeOf(service)
    const assigned = await accepted(node)
    speaker(node, assigned)('Par\u001b[2J')
    await until(() => child.printed().includes('Par\\x1b[2J'), 'the text')
    node.complete(assigned, 'Par\u001b[2Jis')
    expect(await child.exit).toBe(0)
    expect(child.printed()).toMatch(/waiting, position 1: [^\n]*\r(?:[^\n]*\r)*Par\\x1b\[2Jis\n$/)
  })

  test('an answer that begins anew says so and goes on', async () => {
    const service = await startAsked()
    const first = await nodeOf(service, 'first')
    const child = terminalChild(['ask', 'q', '--model', 'llama-3-8b', '--url', service.url])
    const one = await accepted(first)
    speaker(first, one)('one')
    await until(() => child.printed().includes('one'), 'the first words')
    fail(first, one)
    const second = await nodeOf(service, 'second')
    const two = await accepted(second)
    second.complete(two, 'two')
    expect(await child.exit).toBe(0)
    expect(child.printed()).toMatch(
      /one\nstacks-signer: another node had to begin anew, and says something else:\ntwo\n$/,
    )
  })
})

test('a parameter is a name and a value; a system message in brackets is not taken for the turns of a chat', () => {
  expect(paramsOf(['q', '--param', 'a=b=c', '--param=n=1', '--param', 'o={"x":null}', '--param', 'e='])).toEqual({ a: 'b=c', n: 1, o: { x: null }, e: '' }) // prettier-ignore
  expect(promptFields('q', '', {})).toEqual({ user_input: 'q', context: '' })
  expect(promptFields('q', 's', { seed: 1 })).toEqual({ user_input: 'q', context: 's', params: { seed: 1 } })
  expect(promptFields('q', '[s]', {})).toEqual({
    user_input: 'q',
    context: '',
    params: {
      messages: [
        { role: 'system', content: '[s]' },
        { role: 'user', content: 'q' },
      ],
    },
  })
})
