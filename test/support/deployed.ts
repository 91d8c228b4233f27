import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { load, loadAll, YAML11_SCHEMA } from 'js-yaml'
import { CLI, runProgram, type Child } from './child.js'
import { serviceAt } from './service.js'
import { until } from './wait.js'

export const root = fileURLToPath(new URL('../..', import.meta.url))
export const readOps = (file: string): string => readFileSync(join(root, 'ops', file), 'utf8')

/* oxlint-disable typescript/no-explicit-any -- tests read any field */
/** With the merges of YAML 1.1, which compose files use. */
export const yaml = (text: string): any => load(text, { schema: YAML11_SCHEMA })
export const yamls = (text: string): any[] => loadAll(text, { schema: YAML11_SCHEMA }) as any[]
/* oxlint-enable typescript/no-explicit-any */

/** The user of the images. */
const USER = 1000
/** Where root runs the tests, what is deployed runs as another user, who can write nothing of this checkout; if he can read it. */
const asOther: number | undefined =
  process.getuid?.() === 0 && spawnSync('test', ['-r', CLI], { uid: USER, gid: USER }).status === 0 ? USER : undefined

const give = (path: string): void => {
  if (asOther !== undefined) chownSync(path, asOther, asOther)
}

/** Writes a file that only the user of what is deployed can read, and the folders above it. */
export function writePrivate(file: string, text: string): void {
  if (!file.startsWith(`${tmpdir()}/`)) throw new Error(`${file} is in no folder of a test`)
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  writeFileSync(file, text, { mode: 0o600 })
  for (let path = file; path !== tmpdir(); path = dirname(path)) give(path)
}

/**
 * Runs a command as an image or a unit has it. `node` and /app are those of this checkout.
 * @param dir the folder that stands for the file system of its machine
 */
export function runDeployed(command: readonly string[], dir: string): Child {
  const bin = join(dir, 'bin')
  const signer = join(bin, 'stacks-signer')
  if (!existsSync(signer)) {
    writePrivate(signer, `#!/bin/sh\nexec '${process.execPath}' '${CLI}' "$@"\n`)
    chmodSync(signer, 0o700)
  }
  const [program = '', ...args] = command.map((word) => word.replace(/^\/app\//, root))
  const env = { PATH: `${bin}:${process.env['PATH']}`, NODE_ENV: 'production' }
  return runProgram(program === 'node' ? process.execPath : program, args, { cwd: dir, env, uid: asOther })
}

/** The coordinator that a child is, as this machine reaches it. */
export async function listening(child: Child) {
  const line = await until(() => {
    if (child.process.exitCode !== null) throw new Error(`it has ended: ${child.err.join('\n')}`)
    return child.out.find((text) => text.includes('service.listening'))
  }, 'the service listening')
  const { url } = JSON.parse(line) as { url: string }
  return serviceAt(url.replace('0.0.0.0', '127.0.0.1'))
}

/** Waits until a child has said this. */
export const says = (child: Child, text: string): Promise<string> =>
  until(() => child.out.find((line) => line.includes(text)), text)

/** Stops a child as systemd and Docker do. */
export async function stopped(child: Child) {
  child.process.kill('SIGTERM')
  return child.exit
}
