import { RootCommand } from '@bomb.sh/tab'
import type { ArgsDef, CommandDef } from 'citty'
import { commandBelow, namesBelow } from '../../lib/command-line.js'
import { serviceAt } from '../service-call.js'
import { isHarmless, sourceOf } from './sources.js'

/** The commands by name, each loaded when it is needed: the others cost nothing. */
export type Commands = Readonly<Record<string, () => Promise<CommandDef>>>

/** How long the service may take to name what there is; who presses Tab waits for it, ms. */
const SERVICE_MS = 300
/** How the hints of flags look whose value is a file. */
const FILE_HINT = /^(?:FILE|\.\/.*)$/
/** What the shells are told: what was printed is all there is, or: files are wanted. */
const FILES = ':0'

/** The command that the words lead to, as far as they do. */
interface Found {
  /** As `tasks list`; empty: none yet. */
  path: string
  command: CommandDef | null
}

async function find(commands: Commands, words: readonly string[]): Promise<Found> {
  const [name = ''] = words
  const load = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (load === undefined) return { path: '', command: null }
  const found = { path: name, command: await load() }
  for (const word of words.slice(1)) {
    const next = await commandBelow(found.command, word)
    if (next === null) break
    found.path += ` ${word}`
    found.command = next
  }
  return found
}

const argsOf = ({ args = {} }: CommandDef): ArgsDef => args as ArgsDef
const positionalsOf = (command: CommandDef): string[] =>
  Object.entries(argsOf(command)).flatMap(([name, { type }]) => (type === 'positional' ? [name] : []))
const takesValue = (args: ArgsDef, flag: string): boolean => Object.hasOwn(args, flag) && args[flag]?.type === 'string'

/** The flag whose value is being written, and what of it there is; null: it is something else. */
function valueBeingWritten(args: ArgsDef, words: readonly string[]): { flag: string; typed: string } | null {
  const last = words.at(-1) ?? ''
  const inOne = /^--([^=]+)=(.*)$/s.exec(last)
  if (inOne !== null) return { flag: inOne[1] ?? '', typed: inOne[2] ?? '' }
  const before = /^--([^=]+)$/.exec(words.at(-2) ?? '')?.[1]
  return before !== undefined && takesValue(args, before) ? { flag: before, typed: last } : null
}

/** The words that are neither flags nor their values, without the last one, which is being written. */
function wordsBefore(args: ArgsDef, words: readonly string[]): string[] {
  const others = words.slice(0, -1)
  return others.filter((word, i) => {
    const before = /^--([^=]+)$/.exec(others[i - 1] ?? '')?.[1]
    return !word.startsWith('-') && !(before !== undefined && takesValue(args, before))
  })
}

/** The value that is given to a flag in what is written so far. */
function given(words: readonly string[], flag: string): string | undefined {
  const inOne = words.find((word) => word.startsWith(`--${flag}=`))
  const at = words.indexOf(`--${flag}`)
  return inOne?.slice(flag.length + 3) ?? (at < 0 ? undefined : words[at + 1])
}

/**
 * Prints what may stand in the place of the last word, a line each, and what the shell does with it. What the service does not say in
 * time is not there; nothing is said of it, for it would stand in the middle of what is being typed.
 * @param words behind the name of the program; the last is being written, and may be empty
 */
export async function printCandidates(commands: Commands, words: readonly string[]): Promise<void> {
  const { path, command } = await find(commands, words.slice(0, -1))
  const root = new RootCommand()
  for (const name of Object.keys(commands)) root.command(name, '')
  if (command === null) return root.parse([...words])

  const args = argsOf(command)
  const rest = words.slice(path.split(' ').length)
  const value = valueBeingWritten(args, rest)
  const place = wordsBefore(args, rest).length
  const name = value?.flag ?? positionalsOf(command)[place]
  const typed = value?.typed ?? words.at(-1) ?? ''
  if (name !== undefined && (value !== null || !typed.startsWith('-')) && isFile(args, name)) return console.log(FILES)
  const values = name === undefined ? [] : await valuesOf(path, name, typed, rest)

  const fill = (complete: (value: string, description: string) => void): void => {
    for (const one of values) complete(one, '')
  }
  for (const below of namesBelow(command)) {
    const { meta } = (await commandBelow(command, below)) ?? {}
    root.command(`${path} ${below}`, (meta as { description?: string } | undefined)?.description ?? '')
  }
  const node = root.command(path, '')
  for (const [name, { type, description = '', ...more }] of Object.entries(args)) {
    if (type === 'positional') node.argument(name, fill)
    // One with a handler takes a value.
    else if (type === 'boolean') node.option(name, description)
    else node.option(name, description, fill)
    if ('negativeDescription' in more) node.option(`no-${name}`, String(more.negativeDescription))
  }
  node.option('help', 'Say what it does, and its flags')
  // It takes the word behind `--flag=value` for the value.
  const apart = words.slice(0, -1).flatMap((word) => /^(--[^=]+)=(.*)$/s.exec(word)?.slice(1) ?? [word])
  root.parse([...apart, words.at(-1) ?? ''])
}

const isFile = (args: ArgsDef, name: string): boolean =>
  Object.hasOwn(args, name) && FILE_HINT.test(args[name]?.valueHint ?? '')

async function valuesOf(path: string, name: string, typed: string, words: readonly string[]): Promise<string[]> {
  const source = sourceOf(path, name)
  if (source === null) return []
  if (!('ask' in source)) return [...source]
  try {
    // Node loads its fetch with the first call: the time is the service's, and not for that.
    await fetch('data:,')
    const service = serviceAt({ url: given(words, 'url'), 'token-file': given(words, 'token-file') }, SERVICE_MS)
    return (await source.ask(service, typed)).filter(isHarmless)
  } catch {
    return [] // it is not there, is late, or does not say it to everybody: then there is nothing to choose from
  }
}
