#!/usr/bin/env node
import { defineCommand, renderUsage, type CommandDef } from 'citty'
import { asksForHelp, commandBelow, namesBelow, printHelp, runOne, runProgram } from './lib/command-line.js'
import { ConfigError } from './lib/config-error.js'
import { version } from './lib/version.js'

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
  cluster: () => import('./commands/cluster.js').then((m) => m.default as CommandDef),
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

async function run(argv: string[]): Promise<void> {
  const [name] = argv
  const asksHelp = asksForHelp(argv)
  if (argv.includes('--version') && argv.length === 1) return printHelp(version)
  if (name === undefined || (asksHelp && !Object.hasOwn(commands, name))) return printHelp(await renderUsage(main))
  const load = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (load === undefined)
    throw new ConfigError(
      `unknown command ${JSON.stringify(name)}; use one of ${Object.keys(commands).join(', ')}, or --help`,
    )
  return runBelow(name, await load(), main, argv.slice(1))
}

/** Goes down to the command that the words name, and runs it. */
async function runBelow(name: string, command: CommandDef, parent: CommandDef, argv: string[]): Promise<void> {
  const names = namesBelow(command)
  if (names.length === 0) return runOne(name, command, parent, argv, commands)
  const [sub = ''] = argv
  const below = await commandBelow(command, sub)
  if (below !== null)
    return runBelow(`${name} ${sub}`, below, { meta: { name: `stacks-signer ${name}` } }, argv.slice(1))
  if (asksForHelp(argv)) return printHelp(await renderUsage(command, parent))
  throw new ConfigError(
    `${name}: ${sub === '' ? 'say what to do' : `there is no ${name} ${JSON.stringify(sub)}`}; use one of ${names
      .map((s) => `${name} ${s}`)
      .join(', ')}`,
  )
}

await runProgram('stacks-signer', run)
