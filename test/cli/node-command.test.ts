import { runCommand } from 'citty'
import { chmod, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import command from '../../src/commands/run-inference-node.js'
import { ConfigError } from '../../src/lib/config-error.js'
import { startHttp } from '../support/http-server.js'
import { createInbox } from '../support/inbox.js'
import { startCoordinator } from '../support/scripted-coordinator.js'
import { tempDir } from '../support/temp-dir.js'

// Lines that are written to a descriptor cannot be collected; the same lines, written to the stream, can.
vi.mock('../../src/lib/log-stream.js', () => ({
  createLogStream: () => ({ write: (line: string) => process.stdout.write(line) }),
}))

/** The command as it is called, in a folder of its own; its log is collected. */
async function runNode(args: string[], file?: string) {
  const folder = tempDir()
  const lines: string[] = []
  const said = createInbox<string>()
  const write = vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    lines.push(String(chunk))
    said.put(String(chunk))
    return true
  })
  onTestFinished(() => write.mockRestore())
  const { writeFile } = await import('node:fs/promises')
  const config = join(folder, 'node.toml')
  await writeFile(config, `[node]\nkey_file = "${folder}/node.key"\nstate_dir = "${folder}/state"\n${file ?? ''}`)
  const running = runCommand(command, { rawArgs: ['--config', config, ...args] })
  return { running, folder, lines, said: (text: string) => said.take((line): line is string => line.includes(text)) }
}
const signal = (name: 'SIGTERM' | 'SIGINT'): boolean => process.emit(name, name)

test('the command serves tasks and ends after a drain when it is told to stop', async () => {
  const coordinator = await startCoordinator()
  const { running, folder } = await runNode([
    '--coordinator',
    coordinator.url,
    '--model',
    'llama-3-8b',
    '--backend',
    'echo',
    '--node-id',
    'n1',
  ])
  const session = await coordinator.welcomed()
  expect(session.greeting).toMatchObject({ node_id: 'n1', supported_models: ['llama-3-8b'] })
  session.assign()
  expect(await session.expect('task.complete')).toMatchObject({ output: 'hello there' })
  expect(await readdir(join(folder, 'state', 'unsettled'))).toHaveLength(1)
  signal('SIGTERM')
  await session.expect('session.drain')
  session.settle({ task_id: 't1', attempt: 1 })
  session.close(1000)
  await running
  expect(await readdir(join(folder, 'state', 'unsettled'))).toEqual([])
  expect((await stat(join(folder, 'node.key'))).mode & 0o777).toBe(0o600)
})

test('a second signal stops at once and leaves unsettled results on disk', async () => {
  const coordinator = await startCoordinator()
  const { running, folder } = await runNode([
    '--coordinator',
    coordinator.url,
    '--model',
    'llama-3-8b',
    '--backend',
    'echo',
  ])
  const session = await coordinator.welcomed()
  session.assign()
  await session.expect('task.complete')
  signal('SIGINT')
  signal('SIGINT')
  await running
  expect(await readdir(join(folder, 'state', 'unsettled'))).toHaveLength(1)
})

test('a session that is refused for good ends the command with an error that is no configuration error', async () => {
  const coordinator = await startCoordinator()
  const { running } = await runNode(['--coordinator', coordinator.url, '--model', 'a', '--backend', 'echo'])
  const failed = expect(running).rejects.toThrow('closed the session with 4403: banned')
  ;(await coordinator.welcomed()).close(4403, 'banned')
  await failed
  await expect(running).rejects.not.toBeInstanceOf(ConfigError)
})

test('wrong settings and an open key file are configuration errors', async () => {
  await expect((await runNode(['--model', 'a'])).running).rejects.toBeInstanceOf(ConfigError)
  const coordinator = await startCoordinator()
  const args = ['--coordinator', coordinator.url, '--model', 'a', '--backend', 'echo', '--key-file']
  const key = join(tempDir(), 'k')
  const first = await runNode([...args, key])
  await coordinator.welcomed()
  signal('SIGTERM')
  signal('SIGTERM')
  await first.running
  await chmod(key, 0o644)
  await expect((await runNode([...args, key])).running).rejects.toThrow(`chmod 600 ${key}`)
})

test('without --model the command serves what the model server lists, and no prompt, output or key is logged', async () => {
  const { url } = await startHttp((request, response) => {
    if (request.url === '/v1/models') return void response.end('{"data":[{"id":"llama-3-8b"}]}')
    request
      .resume()
      .on('end', () => response.writeHead(500).end('{"error":"cannot answer SECRET-PROMPT with API-KEY"}'))
  })
  const coordinator = await startCoordinator()
  vi.stubEnv('OPENAI_API_KEY', 'API-KEY')
  onTestFinished(() => void vi.unstubAllEnvs())
  const { running, said, lines } = await runNode([
    '--coordinator',
    coordinator.url,
    '--base-url',
    `${url}/v1`,
    '--debug',
  ])
  const session = await coordinator.welcomed()
  expect(session.greeting.supported_models).toEqual(['llama-3-8b'])
  session.assign({ user_input: 'SECRET-PROMPT' })
  expect((await session.expect('task.fail')).error).toContain('SECRET-PROMPT')
  session.settle({ task_id: 't1', attempt: 1 }, 'pending')
  const log = said('node.stopped')
  signal('SIGTERM')
  await session.expect('session.drain')
  session.close(1000)
  await running
  await log
  const all = lines.join('')
  for (const event of [
    'node.starting',
    'node.models',
    'node.connected',
    'node.assigned',
    'node.failed',
    'node.settled',
    'node.draining',
    'node.stopped',
  ])
    expect(all).toContain(event)
  expect(all).toContain(session.greeting.public_key)
  expect(all).not.toMatch(/SECRET-PROMPT|API-KEY|PRIVATE KEY/)
})
