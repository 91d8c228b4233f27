import { chmod, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { command, echo, generate, type Backend } from '../../src/inference-node/backends/index.js'
import { loadNodeConfig } from '../../src/inference-node/config.js'
import { createBackend } from '../../src/inference-node/create-backend.js'
import { runWork } from '../../src/inference-node/run-work.js'
import { BackendDown, type NodeTask } from '../../src/inference-node/index.js'
import { startHttp } from '../support/http-server.js'
import { tempDir } from '../support/temp-dir.js'

const task: NodeTask = {
  task_id: 't1',
  attempt: 2,
  model_name: 'llama-3-8b',
  model_type: 'llama',
  own_model: 'llama-3-8b',
  user_input: 'why not?',
  context: '',
  max_infer_time: 60,
  infer_fee: 0,
}
const run = (
  backend: Backend,
  given: Partial<NodeTask> = {},
  signal = new AbortController().signal,
  onText: (chunk: string) => void = () => undefined,
) => runWork({ work: backend.work, task: { ...task, ...given }, signal, maxCharacters: 100_000, onText })
const node = (source: string, killAfter?: number): Backend =>
  command({ command: process.execPath, args: ['-e', source], env: {}, killAfter })
/** Whether a program runs; a zombie nobody has collected does not. */
const runs = async (pid: number): Promise<boolean> => {
  try {
    process.kill(pid, 0)
    return !/^State:\s+Z/m.test(await readFile(`/proc/${pid}/status`, 'utf8').catch(() => ''))
  } catch {
    return false
  }
}
const ended = async (pid: number): Promise<void> => {
  while (await runs(pid)) await new Promise((resolve) => setTimeout(resolve, 10))
}

test('generate posts the prompt, after the context and a blank line, and takes the text', async () => {
  const prompts: unknown[] = []
  const { url } = await startHttp((request, response) => {
    request.on('data', (body: Buffer) => prompts.push(JSON.parse(body.toString())))
    request.on('end', () => response.end('{"text":"because"}'))
  })
  const backend = generate({ url: `${url}/generate` })
  expect(await run(backend, { context: 'be brief' })).toMatchObject({ output: 'because' })
  await run(backend)
  expect(prompts).toEqual([{ prompt: 'be brief\n\nwhy not?' }, { prompt: 'why not?' }])
})

test('generate: what is no text fails the task, a server that is away is down', async () => {
  const { url, stop } = await startHttp((_, response) => response.end('{"text":7}'))
  const backend = generate({ url })
  await expect(run(backend)).rejects.toThrow('something else than expected (text)')
  await backend.check()
  await stop()
  await expect(backend.check()).rejects.toBeInstanceOf(BackendDown)
  await expect(run(backend)).rejects.toBeInstanceOf(BackendDown)
})

test('generate: a server that hangs fails the task', async () => {
  const { url } = await startHttp(() => undefined)
  await expect(run(generate({ url, stallTimeout: 0.05 }))).rejects.toThrow('hangs')
})

test('echo gives the input back, to the last space', async () => {
  for (const user_input of ['one two  three\n', '', '  ', ' a', 'x']) {
    expect(await run(echo({ delay: 0.001 }), { user_input })).toMatchObject({ output: user_input })
  }
})

test('command: the prompt is on its input, the answer on its output, the model and task in its environment', async () => {
  const chunks: string[] = []
  const backend = node(
    `let s = ''; process.stdin.on('data', d => s += d).on('end', () => console.log(s + '|' + process.env.MODEL_NAME + '|' + process.env.TASK_ID + '|' + process.env.ATTEMPT + '|' + process.env.HOME))`,
  )
  expect(await run(backend, { context: 'brief' }, undefined, (chunk) => chunks.push(chunk))).toMatchObject({
    output: 'brief\n\nwhy not?|llama-3-8b|t1|2|undefined\n',
  })
  expect(chunks.length).toBeGreaterThan(0)
})

test("command: of the node's environment a program gets what it needs and what is named, and nothing else", async () => {
  const file = join(tempDir(), 'node.toml')
  const script = 'console.log(JSON.stringify(process.env))'
  await writeFile(
    file,
    `[node]\ncoordinator = "ws://x"\nmodels = ["a"]\n[backend]\ntype = "command"\ncommand = ${JSON.stringify(process.execPath)}\nargs = ["-e", "${script}"]\nenv = ["CUDA_VISIBLE_DEVICES"]`,
  )
  const env = { PATH: '/bin', HOME: '/h', LANG: 'C', CUDA_VISIBLE_DEVICES: '1', OPENAI_API_KEY: 'secret', USER: 'me' }
  const { backend } = createBackend(loadNodeConfig(file, {}, env), env)
  const result = await run(backend)
  const { OPENAI_API_KEY, USER, ...seen } = JSON.parse('output' in result ? result.output : '') as typeof env
  expect({ OPENAI_API_KEY, USER }).toEqual({})
  expect(seen).toMatchObject({ PATH: '/bin', HOME: '/h', LANG: 'C', CUDA_VISIBLE_DEVICES: '1', TASK_ID: 't1' })
})

test('command: a program that does not read its input is no fault', async () => {
  expect(
    await run(node(`process.stdin.destroy(); console.log('ok')`), { user_input: 'x'.repeat(2_000_000) }),
  ).toMatchObject({ output: 'ok\n' })
})

test('command: an exit code fails the task, with the end of what it complained', async () => {
  const error: unknown = await run(node(`console.error('x'.repeat(5000) + 'no memory'); process.exitCode = 3`)).catch(
    (e: unknown) => e,
  )
  expect(error).toMatchObject({
    message: `${process.execPath} ended with exit code 3`,
    detail: expect.stringMatching(/no memory$/) as string,
  })
})

test('command: a program that is not there is a backend that is down', async () => {
  for (const name of ['/nowhere/model', 'no-such-model']) {
    const backend = command({ command: name, env: { PATH: '/usr/bin' } })
    await expect(run(backend)).rejects.toBeInstanceOf(BackendDown)
    await expect(backend.check()).rejects.toThrow(/there is no such program/)
  }
  const file = join(tempDir(), 'model.sh')
  await writeFile(file, '#!/bin/sh\ncat\n')
  await expect(run(command({ command: file, env: {} }))).rejects.toBeInstanceOf(BackendDown)
  await chmod(file, 0o755)
  await command({ command: file, env: {} }).check()
  await command({ command: 'sh', env: { PATH: '/nowhere:/bin' } }).check()
})

test('command: a cancelled program ends with everything it started', async () => {
  const abort = new AbortController()
  const pids: number[] = []
  const source = `
    const child = require('child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'inherit' })
    console.log(process.pid + ' ' + child.pid); setInterval(() => {}, 1000)`
  const running = run(node(source), {}, abort.signal, (chunk) => {
    pids.push(...chunk.trim().split(' ').map(Number))
    abort.abort(new Error('cancelled'))
  })
  await expect(running).rejects.toThrow('cancelled')
  expect(pids).toHaveLength(2)
  await Promise.all(pids.map(ended))
})

test('command: a program that does not listen to SIGTERM is killed', async () => {
  const abort = new AbortController()
  let pid = 0
  const running = run(
    node(`process.on('SIGTERM', () => {}); setInterval(() => {}, 1000); console.log(process.pid)`, 0.05),
    {},
    abort.signal,
    (chunk) => {
      pid = Number(chunk)
      abort.abort(new Error('cancelled'))
    },
  )
  await expect(running).rejects.toThrow('cancelled')
  await ended(pid)
})

test('command: an output without end is stopped, and so is the program', async () => {
  const file = join(tempDir(), 'pid')
  const source = `require('fs').writeFileSync(${JSON.stringify(file)}, String(process.pid)); const f = () => process.stdout.write('x'.repeat(10000), f); f()`
  await expect(run(node(source))).rejects.toThrow('too large')
  await ended(Number(await readFile(file, 'utf8')))
})

test('command: a program that leaves another one behind, holding its output open, ends all the same', async () => {
  const source = `require('child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'inherit' }).unref(); console.log('done'); process.exitCode = 0; setTimeout(() => process.exit(), 20)`
  expect(await run(node(source, 0.05))).toMatchObject({ output: 'done\n' })
})
