import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import { type Service, serviceAt } from './service.js'
import { tempDir } from './temp-dir.js'
import { until } from './wait.js'

/** The built command line; `npm test` builds first. */
export const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url))

export interface Child {
  process: ChildProcess
  /** Lines of standard output and of standard error, as they come. */
  out: string[]
  err: string[]
  /** Resolves when it has ended, with the code it ended with. */
  exit: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
}

export interface ChildOptions {
  cwd?: string
  env?: Record<string, string>
  /** As another user, which only root may. */
  uid?: number | undefined
}

/** Runs the command line; killed when the test has ended. */
export const cli = (args: string[], options: ChildOptions = {}): Child =>
  runProgram(process.execPath, [CLI, ...args], options)

/** Runs a program; killed when the test has ended. */
export function runProgram(program: string, args: string[], options: ChildOptions = {}): Child {
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd: options.cwd ?? tempDir(),
    env: { ...process.env, ...options.env },
    ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
  })
  const out: string[] = []
  const err: string[] = []
  createInterface({ input: child.stdout }).on('line', (line) => out.push(line))
  createInterface({ input: child.stderr }).on('line', (line) => err.push(line))
  const exit = once(child, 'close').then(([code, signal]) => ({
    code: code as number | null,
    signal: signal as NodeJS.Signals | null,
  }))
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await exit
  })
  return { process: child, out, err, exit }
}

export const signer = `[signer]
stacks_private_key = "${'01'.repeat(32)}"
endpoint = "http://localhost:20443"
network = "testnet"
`

/** A configuration file in a folder of its own. */
export function configFile(inference = '', dir = tempDir(), head = signer): string {
  const file = join(dir, 'signer.toml')
  writeFileSync(file, `${head}\n[inference]\n${inference}\n`, { mode: 0o600 })
  return file
}

export type ServiceChild = Child & Omit<Service, 'coordinator' | 'observer' | 'stop' | 'file'>

/** A service in a process of its own, on a free port. */
export async function serviceChild(
  config: string,
  more: string[] = [],
  env: Record<string, string> = {},
): Promise<ServiceChild> {
  const child = cli(['run-inference-service', '--config', config, '--api-port', '0', ...more], { env })
  const url = await until(() => {
    if (child.process.exitCode !== null) throw new Error(`the service ended: ${child.err.join('\n')}`)
    const line = child.out.find((l) => l.includes('service.listening'))
    return line === undefined ? null : (JSON.parse(line) as { url: string }).url
  }, 'the service listening')
  return { ...child, ...serviceAt(url) }
}
