#!/usr/bin/env node
import { defineCommand, renderUsage, runCommand, type CommandDef } from 'citty'
import { stripVTControlCharacters } from 'node:util'
import { ConfigError } from './lib/config-error.js'
import { oneLine } from './lib/table.js'
import { outputWidth } from './lib/output-width.js'
import { version } from './lib/version.js'
import { wrapHelp } from './lib/wrap.js'

/** Each command is loaded only when it is called. */
const commands: Record<string, () => Promise<CommandDef>> = {
  'run-inference-service': () => import('./commands/run-inference-service.js').then((m) => m.default as CommandDef),
  'run-inference-node': () => import('./commands/run-inference-node.js').then((m) => m.default as CommandDef),
  ask: () => import('./commands/ask.js').then((m) => m.default as CommandDef),
  backup: () => import('./commands/backup.js').then((m) => m.default as CommandDef),
  restore: () => import('./commands/restore.js').then((m) => m.default as CommandDef),
  check: () => import('./commands/check.js').then((m) => m.default as CommandDef),
  tasks: () => import('./commands/tasks.js').then((m) => m.default as CommandDef),
  nodes: () => import('./commands/nodes.js').then((m) => m.default as CommandDef),
  settlements: () => import('./commands/settlements.js').then((m) => m.default as CommandDef),
  top: () => import('./commands/top.js').then((m) => m.default as CommandDef),
  events: () => import('./commands/events.js').then((m) => m.default as CommandDef),
  stats: () => import('./commands/stats.js').then((m) => m.default as CommandDef),
  health: () => import('./commands/health.js').then((m) => m.default as CommandDef),
  tokens: () => import('./commands/tokens.js').then((m) => m.default as CommandDef),
  audit: () => import('./commands/audit.js').then((m) => m.default as CommandDef),
  delegations: () => import('./commands/delegations.js').then((m) => m.default as CommandDef),
  receipt: () => import('./commands/receipt.js').then((m) => m.default as CommandDef),
  keys: () => import('./commands/keys.js').then((m) => m.default as CommandDef),
  asyncapi: () => import('./commands/asyncapi.js').then((m) => m.default as CommandDef),
  openapi: () => import('./commands/openapi.js').then((m) => m.default as CommandDef),
  complete: () => import('./commands/complete.js').then((m) => m.default as CommandDef),
  demo: () => import('./commands/demo.js').then((m) => m.default as CommandDef),
}

const main = defineCommand({
  meta: {
    name: 'stacks-signer',
    version,
    description: 'The Stacks inference service: coordinator and inference nodes',
  },
  subCommands: commands,
})

/** Prints a help text. Colours are for a terminal, and so is what fits its width. */
const print = (text: string): void =>
  void process.stdout.write(
    `${wrapHelp(process.stdout.isTTY ? text : stripVTControlCharacters(text), outputWidth())}\n`,
  )

/** Before anything is loaded that would fail on an old Node in words of its own. */
function refuseOldNode(): void {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  if (major < 20 || (major === 20 && minor < 19))
    throw new Error(`Node ${process.versions.node} is too old; use Node 22, 24 or 26, or at least 20.19`)
}

async function run(argv: string[]): Promise<void> {
  refuseOldNode()
  const [name] = argv
  const asksHelp = asksForHelp(argv)
  if (argv.includes('--version') && argv.length === 1) return print(version)
  if (name === undefined || (asksHelp && !Object.hasOwn(commands, name))) return print(await renderUsage(main))
  const load = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (load === undefined)
    throw new ConfigError(
      `unknown command ${JSON.stringify(name)}; use one of ${Object.keys(commands).join(', ')}, or --help`,
    )
  return runBelow(name, await load(), main, argv.slice(1))
}

/** Goes down to the command that the words name, and runs it. */
async function runBelow(name: string, command: CommandDef, parent: CommandDef, argv: string[]): Promise<void> {
  const subCommands = command.subCommands as Record<string, CommandDef> | undefined
  if (subCommands === undefined) return runOne(name, command, parent, argv)
  const [sub = ''] = argv
  if (Object.hasOwn(subCommands, sub) && subCommands[sub] !== undefined)
    return runBelow(`${name} ${sub}`, subCommands[sub], { meta: { name: `stacks-signer ${name}` } }, argv.slice(1))
  if (asksForHelp(argv)) return print(await renderUsage(command, parent))
  throw new ConfigError(
    `${name}: ${sub === '' ? 'say what to do' : `there is no ${name} ${JSON.stringify(sub)}`}; use one of ${Object.keys(
      subCommands,
    )
      .map((s) => `${name} ${s}`)
      .join(', ')}`,
  )
}

/** Runs a command that has no others below it, or prints its help. */
async function runOne(name: string, command: CommandDef, parent: CommandDef, argv: string[]): Promise<void> {
  if (asksForHelp(argv)) return print(await renderUsage(command, parent))
  refuseUnknownFlags(name, command, flagsOf(argv))
  await runCommand(command, { rawArgs: argv, data: commands })
}

/** Behind a -- nothing is a flag. */
const flagsOf = (argv: string[]): string[] => (argv.includes('--') ? argv.slice(0, argv.indexOf('--')) : argv)

const asksForHelp = (argv: string[]): boolean => flagsOf(argv).some((word) => word === '--help' || word === '-h')

/** The parser takes any flag; a misspelt one must not be passed over. */
function refuseUnknownFlags(name: string, command: CommandDef, argv: string[]): void {
  const known = Object.entries(command.args ?? {}).flatMap(([key, { type }]) => (type === 'positional' ? [] : [key]))
  for (const flag of argv.flatMap((a) => /^--(?:no-)?([^=]+)/.exec(a)?.[1] ?? [])) {
    if (!known.includes(flag))
      throw new ConfigError(`${name}: unknown flag --${flag}; use ${known.map((k) => `--${k}`).join(', ')}`)
  }
}

/** 2 for what the user has to write differently, 1 for the rest. */
const exitCode = (error: unknown): number =>
  error instanceof ConfigError || (error instanceof Error && error.name === 'CLIError') ? 2 : 1

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') return // a reader, such as head, has had enough
  process.stderr.write(`stacks-signer: standard output cannot be written (${error.message})\n`)
  process.exitCode = 1
})
try {
  await run(process.argv.slice(2))
} catch (error) {
  // The words of a service, or a flag, may hold what a stranger wrote.
  process.stderr.write(`stacks-signer: ${oneLine(error instanceof Error ? error.message : String(error))}\n`)
  process.exitCode = exitCode(error)
}
