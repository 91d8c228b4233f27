import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const src = fileURLToPath(new URL('../src', import.meta.url))
const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((f) => f.endsWith('.ts'))
/** The files that each file imports, type imports too: a type that points the wrong way is a wrong arrow. */
const imports = new Map(
  files.map((file) => {
    const source = readFileSync(join(src, file), 'utf8')
    const targets = [...source.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)].map((m) =>
      relative(src, resolve(src, dirname(file), (m[1] ?? '').replace(/\.js$/, '.ts'))),
    )
    return [file, targets.filter((t) => files.includes(t))]
  }),
)
const room = (file: string): string => (file.includes('/') ? (file.split('/')[0] ?? '') : file)

/** Which rooms a room may look into: doors -> core -> nodes -> store -> the pure rules. */
const allowed: Record<string, string[]> = {
  lib: ['wire'],
  wire: [],
  tasks: [],
  store: ['tasks', 'wire', 'lib'],
  nodes: ['store', 'tasks', 'wire', 'lib'],
  core: ['nodes', 'store', 'tasks', 'wire', 'lib'],
  http: ['core', 'wire', 'lib'],
  ws: ['core', 'wire', 'lib'],
  node: ['tasks', 'wire', 'lib'],
  'config.ts': ['core', 'tasks', 'lib'],
  'coordinator.ts': ['config.ts', 'core', 'store', 'tasks', 'http', 'ws', 'wire', 'lib'],
  demo: ['coordinator.ts', 'node', 'wire', 'lib'],
  commands: ['config.ts', 'coordinator.ts', 'store', 'node', 'demo', 'wire', 'lib'],
  'cli.ts': ['commands', 'lib'],
}

test('imports point one way: from the doors to the core to the store to the pure rules', () => {
  const wrong = [...imports].flatMap(([file, targets]) =>
    targets
      .filter((t) => room(t) !== room(file) && !(allowed[room(file)] ?? []).includes(room(t)))
      .map((t) => `${file} -> ${t}`),
  )
  expect(wrong).toEqual([])
})

test('no file imports itself by a detour', () => {
  const circles: string[] = []
  const done = new Set<string>()
  const walk = (file: string, trail: string[]): void => {
    if (trail.includes(file)) return void circles.push([...trail.slice(trail.indexOf(file)), file].join(' -> '))
    if (done.has(file)) return
    for (const target of imports.get(file) ?? []) walk(target, [...trail, file])
    done.add(file)
  }
  for (const file of imports.keys()) walk(file, [])
  expect(circles).toEqual([])
})

test('files are short', () => {
  const long = files
    .map((f) => ({ file: f, lines: readFileSync(join(src, f), 'utf8').split('\n').length }))
    .filter((f) => f.lines > 400)
  expect(long).toEqual([])
})
