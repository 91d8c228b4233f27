import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { sha256 } from '../../src/lib/sha256.js'
import { resultText, verifySignature } from '../../src/wire/keys.js'
import { runProgram } from '../support/child.js'
import { startCoordinator } from '../support/scripted-coordinator.js'
import { startService } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'
import { until } from '../support/wait.js'

const SCRIPT = fileURLToPath(new URL('../../docs/examples/node.py', import.meta.url))
const hasModules = (python: string): boolean =>
  spawnSync(python, ['-c', 'import websockets, cryptography']).status === 0
const python = ['python3', '/usr/bin/python3'].find(hasModules)
/** With REQUIRE_REAL_PARTS=1 the tests fail instead. */
const canRun = python !== undefined || process.env['REQUIRE_REAL_PARTS'] === '1'
const title = canRun
  ? 'the node in Python'
  : 'the node in Python is not run: there is no Python with websockets and cryptography; apt-get install python3-websockets python3-cryptography'

/** Runs it with its key and its results in a folder, which another run may share. */
function runNode(coordinator: string, more: string[] = [], dir = tempDir()) {
  const folders = ['--key-file', join(dir, 'node.key'), '--state-dir', join(dir, 'state')]
  const args = [SCRIPT, '--coordinator', coordinator, '--models', 'llama-3-8b', '--slots', '4', ...folders, ...more]
  const child = runProgram(python ?? 'python3', args, { env: { PYTHONDONTWRITEBYTECODE: '1' } })
  return { ...child, dir, says: (text: string) => until(() => child.err.some((line) => line.includes(text)), text) }
}
const ref = { task_id: 't1', attempt: 1 }

describe.runIf(canRun)(title, () => {
  test('it proves its key, works, signs its results and forgets them when they are settled', async () => {
    const coordinator = await startCoordinator()
    const node = runNode(coordinator.url)
    const session = await coordinator.welcomed()
    const { greeting } = session
    expect(greeting).toMatchObject({ supported_models: ['llama-3-8b'], max_concurrent_tasks: 4, features: ['params'] })
    session.assign({ user_input: 'grüße dich 😀' })
    expect(await session.expect('task.accept')).toMatchObject(ref)
    const { output, signature, ...result } = await session.expect('task.complete')
    expect(output).toBe('grüße dich 😀')
    expect(result).toMatchObject({ ...ref, finish_reason: 'stop', usage: { prompt_tokens: 3, completion_tokens: 3 } })
    expect(verifySignature(greeting.public_key, resultText('t1', 1, sha256(output)), signature ?? '')).toBe(true)
    const pieces = session.all.filter((m) => m.type === 'task.output')
    expect(pieces.map((m) => m.delta).join('')).toBe(output)
    expect(pieces.map((m) => m.seq)).toEqual(pieces.map((_, i) => i))
    session.settle(ref)
    await node.says('t1/1 settled')
    session.assign({ task_id: 't2', user_input: 'one two three', params: { max_tokens: 2 } })
    expect(await session.expect('task.complete')).toMatchObject({ output: 'one two', finish_reason: 'length' })
  })

  test('what is not settled is named and sent again, also after the node was killed', async () => {
    const coordinator = await startCoordinator()
    const node = runNode(coordinator.url)
    const first = await coordinator.welcomed()
    first.assign()
    await first.expect('task.complete')
    first.socket.terminate()
    const second = await coordinator.welcomed()
    expect(second.greeting.running).toEqual([ref])
    expect(await second.expect('task.complete')).toMatchObject({ ...ref, output: 'hello there' })
    node.process.kill('SIGKILL')
    await node.exit
    const again = runNode(coordinator.url, [], node.dir)
    const third = await coordinator.welcomed()
    expect(third.greeting).toMatchObject({ node_id: first.greeting.node_id, running: [ref] })
    expect(await third.expect('task.complete')).toMatchObject({ ...ref, output: 'hello there' })
    third.settle(ref)
    await again.says('t1/1 settled')
    third.assign() // is worked on anew: nothing is left of it
    await third.expect('task.accept')
  })

  test('a cancelled task is stopped, one that is late fails, and what the coordinator refuses is forgotten', async () => {
    const coordinator = await startCoordinator()
    const node = runNode(coordinator.url, ['--delay', '3600'])
    const session = await coordinator.welcomed()
    session.assign()
    session.assign({ task_id: 'late', max_infer_time: 1 })
    await session.expect('task.accept')
    session.send({ type: 'task.cancel', ...ref, reason: 'cancelled' })
    await node.says('t1/1 stopped')
    expect(await session.expect('task.fail')).toMatchObject({ task_id: 'late', retryable: true })
    session.send({ type: 'error', code: 'stale_attempt', message: 'no', task_id: 'late', attempt: 1 })
    await node.says('stale_attempt')
    session.socket.terminate()
    expect((await coordinator.welcomed()).greeting.running).toEqual([])
  })

  test('it says that it lives, and leaves a coordinator that answers nothing to dial it again', async () => {
    const coordinator = await startCoordinator()
    runNode(coordinator.url)
    const session = await coordinator.welcomed({ heartbeat_interval: 0.05 })
    for (let i = 0; i < 3; i++)
      expect(await session.expect('node.heartbeat')).toMatchObject({ status: 'online', running: [] })
    await session.closed
    await coordinator.welcomed()
  })

  test('what came in one frame with the welcome is not lost, and a larger output than fits is failed', async () => {
    const coordinator = await startCoordinator()
    runNode(coordinator.url)
    const session = await coordinator.next()
    await session.hello()
    const welcome = { heartbeat_interval: 15, accept_timeout: 5, reconnect_grace: 15, max_message_bytes: 1000 }
    const assigned = { model_name: 'llama-3-8b', model_type: 'llama', context: '', max_infer_time: 60, infer_fee: 0 }
    session.raw(
      JSON.stringify([
        { type: 'session.welcome', session_id: 's', ...welcome, resumed: [], dropped: [] },
        {
          type: 'task.assign',
          ...ref,
          ...assigned,
          user_input: 'x'.repeat(2000),
          lease_expires_at: 1,
          signed_tx: null,
          stream: true,
        },
      ]),
    )
    expect((await session.expect('task.fail')).error).toContain('the coordinator takes 1000')
  })

  test('a signal drains it; a refusal ends it', async () => {
    const coordinator = await startCoordinator()
    const node = runNode(coordinator.url, ['--delay', '0.05'])
    const session = await coordinator.welcomed()
    session.assign()
    await session.expect('task.accept')
    node.process.kill('SIGTERM')
    await session.expect('session.drain')
    session.assign({ task_id: 't2' })
    expect(await session.expect('task.reject')).toMatchObject({ task_id: 't2', reason: 'the node is draining' })
    await session.expect('task.complete')
    session.settle(ref)
    await node.says('t1/1 settled')
    session.close(1000)
    expect(await node.exit).toEqual({ code: 0, signal: null })

    const refused = runNode(coordinator.url)
    const other = await coordinator.next()
    await other.hello()
    other.send({ type: 'error', code: 'unauthorized', message: 'ask for an invite' })
    other.close(4403)
    expect(await refused.exit).toEqual({ code: 1, signal: null })
    expect(refused.err.at(-1)).toContain('4403 (this key is not let in): ask for an invite')
  })

  test('before a real coordinator it serves tasks with parameters and without, and drains', async () => {
    const service = await startService()
    const node = runNode(service.url, ['--delay', '0.01'])
    await node.says('connected')
    await service.submit({ task_id: 'plain', user_input: 'one two three' })
    await service.submit({ task_id: 'short', user_input: 'one two three', params: { max_tokens: 1 } })
    await service.submit({ task_id: 'tools', params: { tools: [{ type: 'function' }] } })
    expect(await service.reaches('plain', 'completed')).toMatchObject({
      result: { output: 'one two three', finish_reason: 'stop', usage: { prompt_tokens: 3, completion_tokens: 3 } },
    })
    expect(await service.reaches('short', 'completed')).toMatchObject({
      result: { output: 'one', finish_reason: 'length' },
    })
    node.process.kill('SIGINT')
    expect(await node.exit).toEqual({ code: 0, signal: null })
    expect(await service.status('tools')).toMatchObject({ status: 'pending', attempts: 0 })
  })
})
