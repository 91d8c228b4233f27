import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { makeTokenIn } from '../support/access.js'
import { signer } from '../support/child.js'
import { listening, readOps, root, runDeployed, says, stopped, writePrivate } from '../support/deployed.js'
import { tempDir } from '../support/temp-dir.js'

const units = ['stacks-inference.service', 'stacks-inference-node@.service'] as const
const unit = (name: (typeof units)[number]): string => readOps(`systemd/${name}`).replace(/\\\n\s*/g, '')
const settings = (text: string, key: string): string[] =>
  [...text.matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].map(([, value = '']) => value)

const found = Number(/^systemd (\d+)/.exec(spawnSync('systemd-analyze', ['--version']).stdout?.toString() ?? '')?.[1])
/** With REQUIRE_REAL_PARTS=1 they fail instead. */
const canAnalyze = found >= 250 || process.env['REQUIRE_REAL_PARTS'] === '1'

describe.runIf(canAnalyze)(
  canAnalyze ? 'systemd-analyze' : 'systemd-analyze does not judge the units: there is none of 250 or later here',
  () => {
    const analyze = (unit: string, ...args: string[]) => {
      const { status, stdout, stderr } = spawnSync('systemd-analyze', [...args, unit], { encoding: 'utf8' })
      return { status, said: stdout + stderr }
    }
    /** A copy in whose place there is the Node of this machine. */
    const copyOf = (name: (typeof units)[number], change = (text: string) => text): string => {
      const file = join(tempDir(), name)
      writeFileSync(file, change(readOps(`systemd/${name}`)).replaceAll('/usr/bin/node', process.execPath))
      return file
    }

    test.each(units)('%s is right, which a misspelt one is not', (name) => {
      expect(analyze(copyOf(name), 'verify')).toEqual({ status: 0, said: '' })
      const misspelt = copyOf(name, (text) => text.replace('KillMode=', 'KillMood='))
      expect(analyze(misspelt, 'verify').said).toContain("'KillMood'")
    })

    test.each(units)('%s is exposed to less than 3 of 10, which an open one is not', (name) => {
      const security = ['security', '--offline=true', '--threshold=29', '--no-pager']
      expect(analyze(copyOf(name), ...security).status).toBe(0)
      const open = copyOf(name, (text) => text.replace(/^(Protect|Private|Restrict|Capability|SystemCall).*$/gm, ''))
      expect(analyze(open, ...security).status).toBe(1)
    })
  },
)

/** What a unit starts, with the folders that systemd has on a machine in one of a test. */
function startOf(name: (typeof units)[number], dir: string, instance = ''): string[] {
  const [line = ''] = settings(unit(name), 'ExecStart')
  return line
    .replaceAll('%S', join(dir, 'state'))
    .replaceAll('%i', instance)
    .replaceAll('${CREDENTIALS_DIRECTORY}', join(dir, 'credentials'))
    .replaceAll(/\/opt\/stacks-inference(-node)?\//g, root)
    .replace('/usr/bin/node', 'node')
    .split(/\s+/)
}

test('what the units start serves and works, and ends as they expect it to', async () => {
  const dir = tempDir()
  const credential = (name: string, text: string): void => writePrivate(join(dir, 'credentials', name), text)
  // systemd makes StateDirectory.
  for (const folder of ['stacks-inference', 'stacks-inference-node/a'])
    writePrivate(join(dir, 'state', folder, '.there'), '')
  credential('signer.toml', `${signer}\n[inference]\napi_port = 0\n`)
  const service = runDeployed(startOf('stacks-inference.service', dir), dir)
  const asked = await listening(service)
  credential('node.toml', `[node]\ncoordinator = "${asked.url}"\nmodels = ["llama-3-8b"]\n[backend]\ntype = "echo"\n`)
  credential('invite', '\n')
  const node = runDeployed(startOf('stacks-inference-node@.service', dir, 'a'), dir)
  await says(node, 'node.connected')
  const taskId = await asked.submit({ user_input: 'hello' })
  expect(await asked.reaches(taskId, 'completed')).toMatchObject({ result: { output: 'hello' } })
  expect(await stopped(node)).toEqual({ code: 0, signal: null })
  expect(await stopped(service)).toEqual({ code: 0, signal: null })
  // Where docs/deploy.md has commands beside the service find it.
  expect(makeTokenIn(join(dir, 'state/stacks-inference/inference.db'), 'viewer')).toMatch(/^sis_viw_/)
})

test('a configuration that is wrong ends with the status after which the units do not start it again', async () => {
  const dir = tempDir()
  for (const [name, text] of Object.entries({ 'signer.toml': 'nonsense', 'node.toml': '[node]\n', invite: '\n' }))
    writePrivate(join(dir, 'credentials', name), text)
  const ends = units.map(async (name) => {
    const { code } = await runDeployed(startOf(name, dir, 'a'), dir).exit
    expect([name, settings(unit(name), 'RestartPreventExitStatus')]).toEqual([name, [String(code)]])
  })
  await Promise.all(ends)
})
