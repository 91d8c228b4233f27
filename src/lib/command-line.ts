import { renderUsage, runCommand, type CommandDef } from 'citty'
import { stripVTControlCharacters } from 'node:util'
import { ConfigError } from './config-error.js'
import { outputWidth } from './output-width.js'
import { oneLine } from './table.js'
import { wrapHelp } from './wrap.js'

// What the programs of this package share: help, flags that are not there, exit codes.

/** Prints a help text. Colours are for a terminal, and so is what fits its width. */
export const printHelp = (text: string): void =>
  void process.stdout.write(
    `${wrapHelp(process.stdout.isTTY ? text : stripVTControlCharacters(text), outputWidth())}\n`,
  )

/** Behind a -- nothing is a flag. */
const flagsOf = (argv: readonly string[]): readonly string[] =>
  argv.includes('--') ? argv.slice(0, argv.indexOf('--')) : argv

/** The commands below one by name. Some are loaded only when they are called. */
type Below = Readonly<Record<string, CommandDef | (() => Promise<CommandDef>)>>

const belowOf = ({ subCommands = {} }: CommandDef): Below => subCommands as Below

/** The names of the commands below one. */
export const namesBelow = (command: CommandDef): string[] => Object.keys(belowOf(command))

/** The command of this name below another; null: there is none. */
export async function commandBelow(command: CommandDef, name: string): Promise<CommandDef | null> {
  const below = belowOf(command)
  const found = Object.hasOwn(below, name) ? below[name] : undefined
  return typeof found === 'function' ? found() : (found ?? null)
}

export const asksForHelp = (argv: readonly string[]): boolean =>
  flagsOf(argv).some((word) => word === '--help' || word === '-h')

/**
 * Runs a command that has no others below it, or prints its help.
 * @param parent what its name follows in its help
 * @param data what the command is given of the program that it is in
 * @throws ConfigError a flag is misspelt
 */
export async function runOne(
  name: string,
  command: CommandDef,
  parent: CommandDef,
  argv: string[],
  data?: unknown,
): Promise<void> {
  if (asksForHelp(argv)) return printHelp(await renderUsage(command, parent))
  refuseUnknownFlags(name, command, flagsOf(argv))
  await runCommand(command, { rawArgs: argv, data })
}

/** The parser takes any flag; a misspelt one must not be passed over. */
function refuseUnknownFlags(name: string, command: CommandDef, argv: readonly string[]): void {
  const known = Object.entries(command.args ?? {}).flatMap(([key, { type }]) => (type === 'positional' ? [] : [key]))
  for (const flag of argv.flatMap((a) => /^--(?:no-)?([^=]+)/.exec(a)?.[1] ?? [])) {
    if (!known.includes(flag))
      throw new ConfigError(`${name}: unknown flag --${flag}; use ${known.map((k) => `--${k}`).join(', ')}`)
  }
}

/** Before anything is loaded that would fail on an old Node in words of its own. */
function refuseOldNode(): void {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  if (major < 20 || (major === 20 && minor < 19))
    throw new Error(`Node ${process.versions.node} is too old; use Node 22, 24 or 26, or at least 20.19`)
}

/** 2 for what the user has to write differently, 1 for the rest. */
const exitCode = (error: unknown): number =>
  error instanceof ConfigError || (error instanceof Error && error.name === 'CLIError') ? 2 : 1

/**
 * Runs a program: what it throws is one line on standard error, and its exit code.
 * @param name how it is called, for what it says of itself
 */
export async function runProgram(name: string, run: (argv: string[]) => Promise<void>): Promise<void> {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') return // a reader, such as head, has had enough
    process.stderr.write(`${name}: standard output cannot be written (${error.message})\n`)
    process.exitCode = 1
  })
  try {
    refuseOldNode()
    await run(process.argv.slice(2))
  } catch (error) {
    // The words of a service, or a flag, may hold what a stranger wrote.
    process.stderr.write(`${name}: ${oneLine(error instanceof Error ? error.message : String(error))}\n`)
    process.exitCode = exitCode(error)
  }
}
