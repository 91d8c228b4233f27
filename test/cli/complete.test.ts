import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, symlinkSync, chmodSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { delimiter, join } from 'node:path'
import type { CommandDef } from 'citty'
import { expect, onTestFinished, test } from 'vitest'
import { bashScript } from '../../src/commands/complete/bash.js'
import { isHarmless, SOURCES } from '../../src/commands/complete/sources.js'
import { commandBelow } from '../../src/lib/command-line.js'
import { cli, CLI, runProgram } from '../support/child.js'
import { refusedCommand } from '../support/command.js'
import { connectNode } from '../support/node-session.js'
import { startService } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'
import { PATIENCE } from '../support/wait.js'

/** On a machine that has much to do the service may not answer within its 300 ms: then it is tried again. */
const eventually = (what: () => Promise<unknown>) => expect.poll(what, { timeout: PATIENCE, interval: 10 })

/** What is offered for the last of these words, and what the shell is told to do. */
async function offered(words: string[], env: Record<string, string> = {}) {
  const child = cli(['complete', '--', ...words], { env })
  expect({ ...(await child.exit), err: child.err }, words.join(' ')).toEqual({ code: 0, signal: null, err: [] })
  return { values: child.out.slice(0, -1).map((one) => one.split('\t')[0]), told: child.out.at(-1) }
}

/** What real bash makes of lines, with the script read twice as a new shell does, in a folder of its own. */
async function inBash(lines: string[], env: Record<string, string>) {
  const dir = tempDir()
  symlinkSync(CLI, join(dir, 'stacks-signer'))
  chmodSync(CLI, 0o755)
  writeFileSync(join(dir, 'complete.bash'), bashScript('stacks-signer'))
  const script = [
    'set -u',
    'source complete.bash; source complete.bash',
    // What readline does with the function that is registered.
    'for COMP_LINE in "$@"; do COMP_POINT=${#COMP_LINE}; _stacks_signer_complete; (IFS="|"; echo "${COMPREPLY[*]-}"); done',
    'complete -p stacks-signer',
  ].join('\n')
  const child = runProgram('bash', ['--norc', '-c', script, 'bash', ...lines], {
    cwd: dir,
    env: { ...env, PATH: `${dir}${delimiter}${process.env['PATH'] ?? ''}` },
  })
  expect({ ...(await child.exit), err: child.err }).toEqual({ code: 0, signal: null, err: [] })
  return { dir, replies: child.out }
}

test('in bash: commands, flags, states, and names with ":" as the rest of what is written', async () => {
  const service = await startService()
  await service.register('gpu-1', { supported_models: ['llama3:8b', 'llama3:70b', 'mistral'] })
  await service.register('other')
  const lines = [
    'stacks-signer hea',
    'stacks-signer tasks ca',
    'stacks-signer tasks list --sta',
    'stacks-signer tasks list --status=pen',
    'stacks-signer tasks list --wide --model llama3:',
    'stacks-signer nodes show --json g',
    'stacks-signer run-inference-service --config ',
  ]
  const env = { STACKS_SIGNER_URL: service.url }
  const replies = async () => (await inBash(lines, env)).replies.map((reply) => reply.split('|').sort().join(' '))
  await eventually(replies).toEqual([
    'health',
    'callbacks cancel',
    '--status',
    'pending',
    '70b 8b',
    'gpu-1',
    '', // the shell has the files
    'complete -F _stacks_signer_complete stacks-signer',
  ])
})

test('what a stranger has named is neither offered nor run where a shell sees more than letters in it', async () => {
  const service = await startService()
  for (const task_id of ['plain-1', '$(touch run)', '`touch run`', 'a b', "it's", 'x;touch run', '-rf', '模型_1'])
    await service.submit({ task_id })
  let dir = ''
  const lines = [
    'stacks-signer tasks cancel ',
    'stacks-signer tasks cancel $(touch${IFS}run) ',
    'stacks-signer tasks cancel `touch',
  ]
  const inTime = async (): Promise<string[] | undefined> => {
    const done = await inBash(lines, { STACKS_SIGNER_URL: service.url })
    dir = done.dir
    return done.replies[0]?.split('|').sort()
  }
  await eventually(inTime).toEqual(['plain-1', '模型_1'])
  expect(existsSync(join(dir, 'run'))).toBe(false)
  expect(['meta-llama/Llama-3.1:8b', 'a.b_c@d+e%f,g'].every(isHarmless)).toBe(true)
  expect(['a\u202eb', 'a\nb', 'a=b', '~a', 'a*', 'a\\b', '', '!!'].some(isHarmless)).toBe(false)
})

test('ids are those that a command can do something with, from the service that the line names', async () => {
  const service = await startService()
  const node = await connectNode(service, 'n')
  await service.submit({ task_id: 'done' })
  node.complete(await node.next('task.assign'))
  await node.next('task.settled')
  await service.submit({ task_id: 'runs' })
  node.accept(await node.next('task.assign'))
  await service.submit({ task_id: 'waits' })
  const at = ['--url', service.url]
  const sorted = async (...words: string[]) => (await offered(words)).values.sort()
  await eventually(() => sorted('tasks', 'cancel', ...at, '')).toEqual(['runs', 'waits'])
  await eventually(() => sorted('tasks', 'show', `--url=${service.url}`, '--wide', '')).toEqual([
    'done',
    'runs',
    'waits',
  ])
  await eventually(() => sorted('events', ...at, '--node=')).toEqual(['n'])
  expect(await sorted('tasks', 'show', ...at, 'done', '')).toEqual([])
})

test('a service that is not there, or never answers, is passed over without a word', async () => {
  const silent = createServer().listen(0, '127.0.0.1')
  await once(silent, 'listening')
  onTestFinished(() => void silent.close())
  const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`
  const nothing = { values: [], told: ':4' }
  expect(
    await Promise.all([
      offered(['nodes', 'show', ''], { STACKS_SIGNER_URL: url }),
      offered(['nodes', 'show', ''], { STACKS_SIGNER_URL: 'http://127.0.0.1:1' }),
      offered(['nodes', 'show', ''], { STACKS_SIGNER_URL: 'nonsense' }),
      offered(['nodes', 'show', ''], { STACKS_SIGNER_TOKEN: 'nonsense' }),
    ]),
  ).toEqual([nothing, nothing, nothing, nothing])
  const { values } = await offered(['nodes', 'show', '--', '--u'], { STACKS_SIGNER_URL: url })
  expect(values).toEqual(['--url'])
})

test('complete prints a script for each shell, which the shell can read', async () => {
  const printed = (shell: string) => spawnSync(process.execPath, [CLI, 'complete', shell], { encoding: 'utf8' })
  expect(printed('bash').stdout).toBe(bashScript('stacks-signer'))
  for (const shell of ['zsh', 'fish', 'powershell']) {
    const { stdout, stderr, status } = printed(shell)
    expect([shell, status, stderr]).toEqual([shell, 0, ''])
    expect(stdout).toContain('stacks-signer complete')
    if (shell !== 'powershell' && spawnSync(shell, ['--version']).status === 0)
      expect(spawnSync(shell, ['-n'], { input: stdout, encoding: 'utf8' })).toMatchObject({ status: 0, stderr: '' })
  }
  // A name goes on behind a ":".
  expect(printed('zsh').stdout).toContain('comp=${comp//:/\\\\:}')
  await refusedCommand(['complete'], 2, 'bash, zsh, fish, powershell')
  await refusedCommand(['complete', 'csh'], 2, 'bash, zsh, fish, powershell')
})

test('every flag and word of which values are known is one of a command', async () => {
  for (const [path, values] of Object.entries(SOURCES)) {
    const [name = '', ...below] = path.split(' ')
    const { default: top } = (await import(`../../src/commands/${name}.ts`)) as { default: CommandDef }
    let command: CommandDef | null = top
    for (const sub of below) command = command === null ? null : await commandBelow(command, sub)
    expect([path, Object.keys(command?.args ?? {})]).toEqual([path, expect.arrayContaining(Object.keys(values))])
  }
})
