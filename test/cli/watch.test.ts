import { spawnSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createTaskText } from '../../src/commands/tasks/task-text.js'
import { cli, configFile, serviceChild, type Child } from '../support/child.js'
import { startFront } from '../support/front.js'
import { connectNode } from '../support/node-session.js'
import { startService, type Service } from '../support/service.js'
import { terminalChild } from '../support/terminal.js'
import { tempDir } from '../support/temp-dir.js'
import { until } from '../support/wait.js'

const watch = (service: Pick<Service, 'url'>, id: string, ...more: string[]): Child =>
  cli(['tasks', 'watch', id, '--url', service.url, ...more])
const says = (child: Child, line: string): Promise<unknown> => until(() => child.err.includes(line), line)

test('a watch says what happens to a task, prints its result alone, and ends with it', async () => {
  const service = await startService()
  await service.submit({ task_id: 'a' })
  const child = watch(service, 'a')
  await says(child, 'a: pending')
  const node = await connectNode(service, 'n')
  const assigned = await node.next('task.assign')
  await says(child, 'a: in_progress, attempt 1')
  node.accept(assigned)
  node.complete(assigned, 'Paris,\n\u001b[1mFrance\u001b[0m')
  expect(await child.exit).toEqual({ code: 0, signal: null })
  // Byte for byte: whoever reads it is no terminal.
  expect(child.out).toEqual(['Paris,', '\u001b[1mFrance\u001b[0m'])
  expect(child.err).toEqual(['a: pending', 'a: in_progress, attempt 1', 'a: completed'])
  const again = watch(service, 'a')
  expect(await again.exit).toMatchObject({ code: 0 })
  expect([again.out, again.err]).toEqual([child.out, ['a: completed']])
})

test('a watch of a task that fails ends with exit code 1 and the reason, without control characters', async () => {
  const service = await startService()
  await service.submit({ task_id: 'a' })
  const child = watch(service, 'a')
  await says(child, 'a: pending')
  const node = await connectNode(service, 'n')
  const { attempt } = await node.next('task.assign')
  node.say({ type: 'task.fail', task_id: 'a', attempt, error: 'no \u001b[2J memory', retryable: false })
  expect(await child.exit).toEqual({ code: 1, signal: null })
  expect(child.out).toEqual([])
  expect(child.err.at(-1)).toBe('a: failed: no \\x1b[2J memory')
})

test('a task that is not there is one line, and exit code 1', async () => {
  const service = await startService()
  const child = watch(service, 'nothing')
  expect(await child.exit).toMatchObject({ code: 1 })
  expect(child.err).toEqual(['stacks-signer: task_id: there is no task nothing'])
})

test('with --json each message of the session is a line', async () => {
  const service = await startService()
  await service.submit({ task_id: 'a' })
  const child = watch(service, 'a', '--json')
  await until(() => child.out.length > 0, 'a message')
  const node = await connectNode(service, 'n')
  const assigned = await node.next('task.assign')
  node.accept(assigned)
  node.say({ type: 'task.output', task_id: 'a', attempt: assigned.attempt, seq: 0, delta: 'Par' })
  await until(() => child.out.some((line) => line.includes('task.output')), 'the text')
  node.complete(assigned, 'Paris')
  expect(await child.exit).toMatchObject({ code: 0 })
  const messages = child.out.map((line) => JSON.parse(line) as { type: string })
  expect(messages[0]).toEqual({ type: 'task.status', task_id: 'a', status: 'pending', attempt: 0 })
  expect(messages).toContainEqual({ type: 'task.output', task_id: 'a', attempt: 1, offset: 0, delta: 'Par' })
  expect(messages.at(-1)).toMatchObject({ type: 'task.result', status: 'completed', result: { output: 'Paris' } })
  expect(child.err).toEqual([])
})

test('Ctrl-C ends a watch and leaves the task alone', async () => {
  const service = await startService()
  await service.submit({ task_id: 'a' })
  const child = watch(service, 'a')
  await says(child, 'a: pending')
  child.process.kill('SIGINT')
  expect(await child.exit).toEqual({ code: 130, signal: null })
  expect(child.err.at(-1)).toContain('it goes on without you')
  expect(await service.status('a')).toMatchObject({ status: 'pending' })
})

test('a watch goes on over a kill of the service, and says once that it is gone', async () => {
  const config = configFile(`database_path = "${tempDir()}/inference.db"`)
  const front = await startFront()
  const first = await serviceChild(config)
  front.leadTo(first)
  await first.submit({ task_id: 'a' })
  const child = watch(front, 'a')
  await says(child, 'a: pending')
  front.leadTo(null)
  first.process.kill('SIGKILL')
  await first.exit
  const lines = (part: string): string[] => child.err.filter((line) => line.includes(part))
  await until(() => lines('the connection was lost; watching again in').length > 0, 'the loss')
  await until(() => lines('closed the connection without an answer').length > 0, 'a try')
  const second = await serviceChild(config)
  front.leadTo(second)
  const node = await connectNode(second, 'n')
  const assigned = await node.next('task.assign')
  node.accept(assigned) // else it would be given to another before a slow watch is back
  await says(child, 'a: in_progress, attempt 1')
  node.complete(assigned, 'Paris')
  expect(await child.exit).toEqual({ code: 0, signal: null })
  expect(child.out).toEqual(['Paris'])
  expect(lines('closed the connection without an answer')).toHaveLength(1)
})

/** `script` gives a command a terminal. */
describe.runIf(spawnSync('script', ['--version']).status === 0)('on a terminal', () => {
  test('the text comes as it is made, and begins anew with another attempt', async () => {
    const service = await startService()
    await service.submit({ task_id: 'a' })
    const child = terminalChild(['tasks', 'watch', 'a', '--url', service.url])
    const shows = (text: string) => until(() => child.printed().includes(text), JSON.stringify(text))
    await shows('a: pending\n')
    const first = await connectNode(service, 'one')
    const one = await first.next('task.assign')
    first.accept(one)
    const say = (node: typeof first, attempt: number, seq: number, delta: string): void =>
      node.say({ type: 'task.output', task_id: 'a', attempt, seq, delta })
    say(first, one.attempt, 0, 'Lon')
    await shows('a: in_progress, attempt 1\nLon')
    const second = await connectNode(service, 'two')
    first.say({ type: 'task.fail', task_id: 'a', attempt: one.attempt, error: 'oops', retryable: true })
    const two = await second.next('task.assign')
    second.accept(two)
    say(second, two.attempt, 0, 'Par\u001b[2J')
    await shows('Par\\x1b[2J')
    second.complete(two, 'Par\u001b[2Jis')
    expect(await child.exit).toBe(0)
    expect(child.printed()).toMatch(
      /Lon\n(a: pending\n)?a: in_progress, attempt 2\na: the text begins anew\nPar\\x1b\[2Jis\na: completed\n/,
    )
  })
})

test('pieces of text in any order of attempts, repeated or lost, come to the result exactly once', () => {
  const piece = fc.record({ attempt: fc.integer({ min: 1, max: 3 }), from: fc.nat(12), length: fc.nat(6) })
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 20 }), fc.integer({ min: 1, max: 3 }), (pieces, last) => {
      const texts = ['', 'first attempt', 'another text', 'the last one.']
      const text = createTaskText()
      let shown = ''
      const show = ({ text: added, anew }: { text: string; anew: boolean }): void => {
        shown = anew ? added : shown + added
      }
      let newest = 0
      for (const { attempt, from, length } of pieces) {
        newest = Math.max(newest, attempt)
        show(text.add({ attempt, offset: from, delta: (texts[attempt] ?? '').slice(from, from + length) }))
        expect(texts[newest]?.startsWith(shown)).toBe(true)
        expect(text.position()).toEqual({ attempt: newest, offset: shown.length })
      }
      show(text.finish(texts[last] ?? ''))
      expect(shown).toBe(texts[last])
    }),
  )
})

test('a result that differs from its text is shown whole', () => {
  const text = createTaskText()
  text.add({ attempt: 1, offset: 0, delta: 'Paris, I guess' })
  expect(text.finish('Paris')).toEqual({ text: 'Paris', anew: true })
})
