import { execFile } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { cli, runProgram } from '../support/child.js'
import { startService } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'
import { until } from '../support/wait.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const run = promisify(execFile)

interface Package {
  dependencies: Record<string, string>
  bin: Record<string, string>
}
interface Lock {
  packages: Record<string, { version: string; hasInstallScript?: boolean; engines?: { node?: string } }>
}
const readJson = (file: string): unknown => JSON.parse(readFileSync(file, 'utf8'))

/** The node's package as it is made from the build. */
async function madePackage() {
  const folder = join(tempDir(), 'made')
  await run(process.execPath, [join(root, 'ops/npm/package-node.mjs'), folder])
  return {
    folder,
    described: readJson(join(folder, 'package.json')) as Package,
    lock: readJson(join(folder, 'npm-shrinkwrap.json')) as Lock,
  }
}

test('the package of the node needs little, none of it compiled, and each in the version that is tested', async () => {
  const { described, lock } = await madePackage()
  const names = 'citty confbox eventsource-parser ipaddr.js pino pino-pretty prom-client undici valibot ws'
  expect(Object.keys(described.dependencies)).toEqual(names.split(' '))
  const { '': own, ...packages } = lock.packages
  expect(own).toMatchObject({ dependencies: described.dependencies, bin: described.bin })
  expect(Object.keys(packages).length).toBeLessThan(50)
  expect(Object.keys(packages).filter((place) => /sqlite|drizzle|hono|gyp/.test(place))).toEqual([])
  const ofService = (readJson(join(root, 'package-lock.json')) as Lock).packages
  for (const [place, { hasInstallScript = false, version }] of Object.entries(packages))
    expect([place, version, hasInstallScript]).toEqual([place, ofService[place]?.version, false])
})

test('what npm packs of it starts with those dependencies alone, and works for a coordinator', async () => {
  const { folder, described } = await madePackage()
  const installed = tempDir()
  await run('npm', ['pack', '--pack-destination', installed], { cwd: folder })
  const [tarball = ''] = readdirSync(installed)
  await run('tar', ['-xzf', tarball], { cwd: installed })
  const unpacked = join(installed, 'package')
  expect(readdirSync(unpacked).sort()).toEqual(['LICENSE', 'README.md', 'dist', 'npm-shrinkwrap.json', 'package.json'])
  for (const name of Object.keys(described.dependencies)) {
    const link = join(unpacked, 'node_modules', name)
    mkdirSync(dirname(link), { recursive: true })
    symlinkSync(join(root, 'node_modules', name), link)
  }

  const service = await startService()
  const program = join(unpacked, described.bin['stacks-inference-node'] ?? '')
  const flags = ['--coordinator', service.url, '--model', 'llama-3-8b', '--backend', 'echo', '--metrics-port', '0']
  const node = runProgram(process.execPath, [program, ...flags])
  await until(() => node.out.some((line) => line.includes('node.connected')), 'the node connected')
  const taskId = await service.submit({ user_input: 'hello there' })
  expect(await service.reaches(taskId, 'completed')).toMatchObject({ result: { output: 'hello there' } })
  const told = node.out.map((line) => JSON.parse(line) as { event: string; url?: string })
  const metrics = await fetch(told.find(({ event }) => event === 'node.metrics')?.url ?? '')
  expect(await metrics.text()).toContain('inference_node_tasks_total{end="completed"} 1')
  node.process.kill('SIGTERM')
  expect(await node.exit).toEqual({ code: 0, signal: null })
  expect(node.err).toEqual([])
})

test('it takes the flags of stacks-signer run-inference-node, and says what is wrong in one line', async () => {
  const program = join(root, 'dist/node-cli.js')
  const asked = { own: runProgram(process.execPath, [program, '--help']), of: cli(['run-inference-node', '--help']) }
  const flagsOf = async ({ exit, out }: typeof asked.own) => {
    expect(await exit).toEqual({ code: 0, signal: null })
    return out.flatMap((line) => /^ +--([a-z-]+)/.exec(line)?.[1] ?? [])
  }
  const flags = await flagsOf(asked.own)
  expect(flags).toContain('invite-file')
  expect(flags).toEqual(await flagsOf(asked.of))
  const wrong = runProgram(process.execPath, [program, '--coordinatr', 'x'])
  expect(await wrong.exit).toEqual({ code: 2, signal: null })
  expect(wrong.err).toEqual([
    expect.stringMatching(/^stacks-inference-node: command line: unknown flag --coordinatr; /),
  ])
})
