import { runCommand, type CommandDef } from 'citty'
import { expect, vi } from 'vitest'
import audit from '../../src/commands/audit.js'
import cluster from '../../src/commands/cluster.js'
import delegations from '../../src/commands/delegations.js'
import keys from '../../src/commands/keys.js'
import nodes from '../../src/commands/nodes.js'
import receipt from '../../src/commands/receipt.js'
import settlements from '../../src/commands/settlements.js'
import tasks from '../../src/commands/tasks.js'
import tokens from '../../src/commands/tokens.js'
import { commandBelow } from '../../src/lib/command-line.js'
import { ConfigError } from '../../src/lib/config-error.js'
import { cli } from './child.js'

export interface Printed {
  out: string[]
  err: string[]
  json(): any // oxlint-disable-line typescript/no-explicit-any -- tests read any field
}
const printed = (out: string[], err: string[]): Printed => ({
  out,
  err,
  json: () => JSON.parse(out.join('\n')) as unknown,
})

/** What a command of the built command line prints, which has to end well. A process of its own: it may take seconds. */
export async function command(args: readonly string[], env: Record<string, string> = {}): Promise<Printed> {
  const { exit, out, err } = cli([...args], { env })
  expect({ ...(await exit), args, err }).toMatchObject({ code: 0, signal: null })
  return printed(out, err)
}

/** One line on standard error, that says all of `parts`, nothing on standard output, and this exit code. */
export async function refusedCommand(args: readonly string[], code: number, ...parts: string[]): Promise<void> {
  const { exit, out, err } = cli([...args])
  expect({ ...(await exit), out, lines: err.length, args }).toEqual({ code, signal: null, out: [], lines: 1, args })
  for (const part of parts) expect(err[0]).toContain(part)
}

const groups: Record<string, CommandDef> = {
  audit: audit,
  cluster: cluster,
  delegations: delegations,
  keys: keys,
  nodes: nodes,
  receipt: receipt,
  settlements: settlements,
  tasks: tasks,
  tokens: tokens,
}

/** The same in this process, which is quick. `code` is the exit code that it asks for. @throws what it fails with */
export async function inProcess(
  [group = '', sub = '', ...rawArgs]: readonly string[],
  env: Record<string, string> = {},
): Promise<Printed & { code: number }> {
  const found = await commandBelow(groups[group] ?? {}, sub)
  if (found === null) throw new Error(`there is no ${group} ${sub}`)
  const [out, err]: [string[], string[]] = [[], []]
  const spies = [
    vi.spyOn(console, 'log').mockImplementation((text: string) => void out.push(...text.split('\n'))),
    vi.spyOn(console, 'error').mockImplementation((text: string) => void err.push(...text.split('\n'))),
  ]
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value)
  try {
    await runCommand(found, { rawArgs: [...rawArgs] })
    return { ...printed(out, err), code: Number(process.exitCode ?? 0) }
  } finally {
    process.exitCode = undefined
    vi.unstubAllEnvs()
    for (const spy of spies) spy.mockRestore()
  }
}

/** That a command in this process fails with a sentence that says all of `parts`; with a ConfigError for exit code 2, else another. */
export async function refusedInProcess(
  args: readonly string[],
  code: 1 | 2,
  parts: readonly string[],
  env: Record<string, string> = {},
): Promise<void> {
  const error = await inProcess(args, env).then(
    () => null,
    (e: unknown) => e,
  )
  if (!(error instanceof Error)) throw new Error(`${args.join(' ')}: was not refused`)
  const wrongUse = error instanceof ConfigError || error.name === 'CLIError'
  expect([args, error.message, wrongUse]).toEqual([args, error.message, code === 2])
  for (const part of parts) expect(error.message).toContain(part)
}
