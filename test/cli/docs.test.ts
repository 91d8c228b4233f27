import { renderUsage, type CommandDef } from 'citty'
import { execFile, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify, stripVTControlCharacters } from 'node:util'
import { describe, expect, test } from 'vitest'
import { describeServiceConfig, loadServiceConfig } from '../../src/config.js'
import { commandBelow } from '../../src/lib/command-line.js'
import type { SettingDoc } from '../../src/lib/settings.js'
import { describeNodeConfig, loadNodeConfig } from '../../src/inference-node/config.js'
import { errors } from '../../src/wire/codes.js'
import { cli } from '../support/child.js'
import { startService } from '../support/service.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const read = (name: string): string => readFileSync(join(root, name), 'utf8')
const docs = readdirSync(join(root, 'docs'))
  .filter((f) => f.endsWith('.md'))
  .map((f) => `docs/${f}`)
const pages = [...docs, ...readdirSync(root).filter((f) => /^README.*\.md$/.test(f))]
/** The blocks of a page that a person would paste into a shell to ask a running service. */
const curls = (page: string): string[] =>
  [...page.matchAll(/```bash\n([\s\S]*?)```/g)].map((m) => m[1] ?? '').filter((b) => b.startsWith('curl'))

describe.runIf(spawnSync('curl', ['--version']).status === 0)('by example', () => {
  test('the curl examples of docs/rest.md work when they are pasted one after the other', async () => {
    // Others have examples too, which need a node: readme.test.ts and examples.test.ts.
    const others = ['docs/openai.md', 'docs/streaming.md']
    expect(docs.filter((name) => curls(read(name)).length > 0 && !others.includes(name))).toEqual(['docs/rest.md'])
    const service = await startService()
    const script = curls(read('docs/rest.md'))
      .join('')
      .replaceAll('http://127.0.0.1:8080', service.url)
      .replaceAll('curl -sS', 'curl -sS -w "\\n"')
    const { stdout } = await promisify(execFile)('bash', ['-e', '-c', script])
    const answers = stdout.split('\n').filter((l) => l.trim() !== '')
    expect(answers.length).toBe([...script.matchAll(/^curl /gm)].length)
    for (const answer of answers) expect(JSON.parse(answer)).toMatchObject({ success: true, error: null })
    expect(await service.status('task-001')).toMatchObject({ status: 'completed' })
    expect(await service.status('task-003')).toMatchObject({ status: 'pending', attempts: 1 })
  })
})

test('docs/configuration.md has every key with its default and description, in the order of the schemas, and no other', () => {
  const row = ({ key, default: value, description }: SettingDoc): string =>
    `| \`${key}\` | ${value === undefined ? '–' : `\`${JSON.stringify(value)}\``} | ${description} |`
  const rows = [...read('docs/configuration.md').matchAll(/^\| `.*$/gm)].map(String)
  expect(rows).toEqual([...describeServiceConfig(), ...describeNodeConfig()].map(row))
})

test('docs/rest.md has every error code with its status', () => {
  const rows = [...read('docs/rest.md').matchAll(/^\| (\d{3}) \| (.*?) \|/gm)]
  const documented = rows.flatMap(([, status, codes = '']) =>
    [...codes.matchAll(/`(\w+)`/g)].map(([, code]) => [code, Number(status)]),
  )
  expect(Object.fromEntries(documented)).toEqual(
    Object.fromEntries(Object.entries(errors).map(([code, { status }]) => [code, status])),
  )
})

test('every route of docs/rest.md is there, with its method', async () => {
  const service = await startService()
  const table = /## Routes\n([\s\S]*?)\n## /.exec(read('docs/rest.md'))?.[1] ?? ''
  const routes = [...table.matchAll(/`(GET|POST|DELETE) (\/[^`?]*)/g)].map(([, method = '', path = '']) => ({
    method,
    path: path.replace(/\{\w+\}/, 'x'),
  }))
  expect(routes.length).toBeGreaterThan(15)
  for (const { method, path } of routes) {
    // A method that no route has: the answer names those that it has.
    const { status, headers } = await service.send('PATCH', path)
    expect([path, status]).toEqual([path, 405])
    expect(headers.get('Allow')?.split(', ')).toContain(method)
  }
})

/** What `--help` says of a command: the flags, and the commands below it. Of all together by the command line, of one in this process, which is quick. */
async function helpOf([name, ...below]: readonly string[]): Promise<string> {
  if (name === undefined) {
    const child = cli(['--help'])
    expect(await child.exit).toEqual({ code: 0, signal: null })
    return stripVTControlCharacters(child.out.join('\n'))
  }
  const { default: command } = (await import(`../../src/commands/${name}.ts`)) as { default: CommandDef }
  let named = command
  for (const sub of below) named = (await commandBelow(named, sub)) ?? {}
  return stripVTControlCharacters(await renderUsage(named))
}
/** The commands of which something is said in a list `COMMANDS` of a help, by name. */
const commandsIn = (help: string): string[] =>
  [...(help.split('COMMANDS')[1] ?? '').matchAll(/^ +([a-z][a-z-]*)  /gm)].map((m) => m[1] ?? '')
const flagsIn = (text: string): string[] => [...text.matchAll(/(?<![\w-])--([a-z][a-z-]*)/g)].map((m) => m[1] ?? '')

test('the pages name only commands and flags that are there, and docs/operations.md, docs/node.md and docs/security.md name all of them', async () => {
  const top = commandsIn(await helpOf([]))
  expect(top).toContain('run-inference-service')
  const groups = ['tasks', 'nodes', 'tokens', 'audit', 'keys', 'receipt', 'delegations', 'settlements', 'cluster']
  /** The commands at the end of these words. */
  const below = async (words: string[]): Promise<string[][]> => {
    const subs = commandsIn(await helpOf(words))
    return subs.length === 0 ? [words] : (await Promise.all(subs.map((sub) => below([...words, sub])))).flat()
  }
  const inGroups = await Promise.all(groups.map((group) => below([group])))
  const all = [...top.filter((name) => !groups.includes(name)).map((name) => [name]), ...inGroups.flat()]
  const help = new Map(
    await Promise.all(all.map(async (words) => [words.join(' '), flagsIn(await helpOf(words))] as const)),
  )

  const named = new Map<string, Set<string>>()
  for (const page of pages) {
    for (const [, call = ''] of read(page).matchAll(/npx stacks-signer ([^`#\n]*)/g)) {
      const words = call.trim().split(' ')
      if (words[0]?.startsWith('--') === true) continue
      const command = [3, 2, 1].map((n) => words.slice(0, n).join(' ')).find((name) => help.has(name)) ?? call
      expect([page, [...help.keys()]]).toEqual([page, expect.arrayContaining([command])])
      for (const flag of flagsIn(call))
        expect([page, command, help.get(command)]).toContainEqual(expect.arrayContaining([flag]))
      named.set(command, new Set([...(named.get(command) ?? []), ...flagsIn(call)]))
    }
  }
  expect([...named.keys()].sort()).toEqual([...help.keys()].sort())

  const everything = flagsIn(['operations', 'node', 'security'].map((page) => read(`docs/${page}.md`)).join('\n'))
  for (const flags of help.values()) for (const flag of flags) expect(everything).toContain(flag)
  const inTable = (name: string): string[] =>
    [...read(name).matchAll(/^\| (`--[^|]*) \|/gm)].flatMap((m) => flagsIn(m[1] ?? ''))
  expect(inTable('docs/operations.md').sort()).toEqual([...new Set(help.get('run-inference-service'))].sort())
  expect(inTable('docs/node.md').sort()).toEqual([...new Set(help.get('run-inference-node'))].sort())
})

/** The anchors that GitHub gives the headings of a page. */
const anchorsOf = (page: string): string[] =>
  [...page.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  )

test.each(pages)('%s links only to pages and sections that are there', (name) => {
  for (const [, target = ''] of read(name).matchAll(/\]\(((?!https?:)[^)]+)\)/g)) {
    const [file = '', anchor] = target.split('#')
    const page = file === '' ? name : join(dirname(name), file)
    expect([target, existsSync(join(root, page))]).toEqual([target, true])
    if (anchor !== undefined) expect(anchorsOf(read(page))).toContain(anchor)
  }
})

test.each(pages)('%s names only scripts and tests that are there', (name) => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
  for (const [, script] of read(name).matchAll(/npm run ([a-z][a-z0-9:_-]*)/g))
    expect(Object.keys(scripts)).toContain(script)
  for (const [file] of read(name).matchAll(/\btest\/[\w./-]+\.(?:ts|mjs)/g))
    expect([file, existsSync(join(root, file))]).toEqual([file, true])
})

test('the README leads to every page', () => {
  for (const page of docs) expect(read('README.md')).toContain(`(${page})`)
})

test('the example configurations are valid as they are', () => {
  expect(loadServiceConfig(join(root, 'config/signer.toml'), {}).inference).toMatchObject({
    database_path: './data/inference.db',
    api_port: 8080,
    api_host: '127.0.0.1',
  })
  expect(loadNodeConfig(join(root, 'config/node.toml'), {}, {}).node.coordinator).toBe('http://127.0.0.1:8080')
})
