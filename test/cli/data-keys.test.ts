import { chmodSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { cli, configFile, serviceChild } from '../support/child.js'
import { keyFile, setKeys, wordsIn } from '../support/data-keys.js'
import { connectNode } from '../support/node-session.js'
import { tempDir } from '../support/temp-dir.js'

const secret = 'a-prompt-that-is-a-secret'
const answer = 'an-answer-that-is-one-too'
const reason = 'words-of-a-node-about-it'

const stop = async (service: Awaited<ReturnType<typeof serviceChild>>): Promise<void> => {
  service.process.kill('SIGTERM')
  expect(await service.exit).toEqual({ code: 0, signal: null })
}

test.each(['', 'core_thread = true'])(
  'no text is in the database, its log or what the service says, from submission to result (%s)',
  async (more) => {
    const dir = tempDir()
    const key = keyFile('11')
    const config = configFile(`data_key_file = ${JSON.stringify(key)}\nheartbeat_interval = 5\n${more}`, dir)
    const service = await serviceChild(config)
    const id = await service.submit({ user_input: secret, context: secret })
    const node = await connectNode(service, 'node')
    const first = await node.next('task.assign')
    node.say({ type: 'task.fail', task_id: id, attempt: first.attempt, error: reason, retryable: true })
    await node.next('task.settled')
    const second = await node.next('task.assign')
    expect(second).toMatchObject({ attempt: 2, user_input: secret })
    node.complete(second, answer)
    await node.next('task.settled')
    const database = join(dir, 'inference_tasks.db')
    const words = [secret, answer, reason]
    expect(wordsIn(database, words)).toEqual([])
    expect(await service.status(id)).toMatchObject({ user_input: secret, result: { output: answer } })
    const said = [...service.out, ...service.err].join('\n')
    expect(words.filter((word) => said.includes(word))).toEqual([])
    await stop(service)
    expect(wordsIn(database, words)).toEqual([])

    // Its key is lost, or not set: the start says which, and check does.
    setKeys(key, '22')
    const kid = readFileSync(database)
      .toString('latin1')
      .match(/enc1\.([0-9a-f]{8})\./)?.[1]
    const refused = cli(['run-inference-service', '--config', config, '--api-port', '0'])
    expect(await refused.exit).toEqual({ code: 2, signal: null })
    expect(refused.err.join('\n')).toContain(`texts in it are encrypted under the data key ${kid}, and it is not in`)
    const found = cli(['check', '--config', config])
    expect(await found.exit).toEqual({ code: 1, signal: null })
    expect(found.out.join('\n')).toContain(
      `WRONG  every data key that texts are encrypted under is there: texts are encrypted under the data key ${kid}, which is not in the key file; put that key back`,
    )
    setKeys(key, '22', '11')
    const sound = cli(['check', '--config', config])
    expect(await sound.exit).toEqual({ code: 0, signal: null })
    expect(sound.out).toContain('ok  every data key that texts are encrypted under is there')
  },
)

test('a key file that others can read, or that is none, is refused', async () => {
  const key = keyFile('11')
  const config = configFile(`data_key_file = ${JSON.stringify(key)}`)
  const run = async (): Promise<string> => {
    const child = cli(['run-inference-service', '--config', config, '--api-port', '0'])
    expect(await child.exit).toEqual({ code: 2, signal: null })
    expect(child.err).toHaveLength(1)
    return child.err[0] ?? ''
  }
  if (process.platform !== 'win32') {
    chmodSync(key, 0o644)
    expect(await run()).toContain(`${key}: others on this machine can read the data keys (mode 0644); run: chmod 600`)
  }
  chmodSync(key, 0o600)
  setKeys(key, 'zz')
  expect(await run()).toContain(`${key}: must hold data keys`)
  rmSync(dirname(key), { recursive: true })
  expect(await run()).toContain(`${key}: the data key cannot be read`)
})

test('tasks submit --encrypt sends nobody on the way the prompt, and the task has it', async () => {
  const dir = tempDir()
  const service = await serviceChild(configFile('', dir))
  const child = cli([
    ...['tasks', 'submit', '--url', service.url, '--encrypt', '--task-id', 'e'],
    ...['--model', 'llama', '--user', 'ST1', '--prompt', secret, '--context', answer],
  ])
  expect(await child.exit).toEqual({ code: 0, signal: null })
  expect(child.out).toEqual(['e'])
  expect(wordsIn(join(dir, 'inference_tasks.db'), [secret, answer])).toEqual([])
  expect(await service.status('e')).toMatchObject({ user_input: secret, context: answer })
})
