import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const src = fileURLToPath(new URL('../../src', import.meta.url))
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
/** What of the core the doors see and its rooms share, and what runs its rooms; each other folder of the core is a room of its own. */
const seenByDoors = [
  'operations',
  'ask-operations',
  'operation-traits',
  'refusals',
  'context',
  'durations',
  'task-view',
  'node-view',
  'moments',
  'access/caller',
  'access/control',
  'access/credentials',
  'settlement/reports',
  'callbacks/reports',
  'watching/reports',
].map((f) => `core/${f}.ts`)
const runs = ['run-operation', 'operator', 'figures', 'asks', 'node-pages', 'deadlines', 'waits'].map(
  (f) => `core/${f}.ts`,
)
const room = (file: string): string => {
  if (seenByDoors.includes(file)) return 'core'
  if (runs.includes(file)) return 'core/run'
  const [top = '', second = ''] = file.split('/')
  return top === 'core' ? `core/${second}` : top
}

const pure = ['rules', 'wire', 'lib']
/** Which rooms a room may look into: doors -> core -> store -> the pure rules; inside the core each room into those before it. */
const allowed: Record<string, string[]> = {
  lib: ['wire'],
  wire: [],
  rules: ['wire'],
  chain: pure,
  store: pure,
  contract: pure,
  'core/nodes': ['store', ...pure],
  'core/anomalies': pure,
  'core/rates': pure,
  core: ['core/anomalies', 'core/rates', 'core/nodes', 'chain', 'store', ...pure],
  'core/access': ['core/anomalies', 'core', 'core/nodes', 'store', ...pure],
  'core/settlement': ['chain', 'core/access', 'core/tasks', 'core', 'core/nodes', 'store', ...pure],
  'core/tasks': ['core/access', 'core', 'core/nodes', 'store', ...pure],
  'core/callbacks': ['core/access', 'core', 'store', ...pure],
  'core/watching': ['core/access', 'core/rates', 'core', 'core/nodes', 'store', ...pure],
  'core/dispatch': ['core/access', 'core/settlement', 'core/tasks', 'core', 'core/nodes', 'store', ...pure],
  'core/sessions': [
    'core/access',
    'core/dispatch',
    'core/settlement',
    'core/tasks',
    'core',
    'core/nodes',
    'store',
    ...pure,
  ],
  'core/run': [
    'core/anomalies',
    'core/access',
    'core/callbacks',
    'core/watching',
    'core/rates',
    'core/settlement',
    'core/sessions',
    'core/dispatch',
    'core/tasks',
    'core',
    'core/nodes',
    'store',
    ...pure,
  ],
  'core/engine': [
    'chain',
    'core/access',
    'core/run',
    'core/rates',
    'core/sessions',
    'core/dispatch',
    'core',
    'core/nodes',
    'store',
    ...pure,
  ],
  metrics: ['core', 'inference-node', ...pure],
  traces: ['core', 'core/engine', 'core/rates', ...pure],
  'telemetry.ts': ['config.ts', 'metrics', 'traces', 'core/engine', 'lib'],
  door: ['core', 'chain', ...pure],
  settlement: ['core', 'core/engine', 'chain', ...pure],
  callbacks: ['core', 'core/engine', ...pure],
  http: ['contract', 'door', 'chain', 'core', 'core/engine', ...pure],
  ws: ['door', 'chain', 'core', 'core/engine', 'wire', 'lib'],
  'inference-node': pure,
  cluster: ['config-sections.ts', 'core', 'core/engine', 'store', ...pure],
  client: ['wire', 'lib'],
  'config-sections.ts': ['lib'],
  'config-schema.ts': ['config-sections.ts', 'wire', 'lib'],
  'config.ts': ['config-schema.ts', 'config-sections.ts', 'settlement', 'core', 'core/engine', 'rules', 'wire', 'lib'],
  'start-report.ts': ['core', 'lib'],
  'shown-settings.ts': ['config.ts', 'wire', 'lib'],
  'open-runner.ts': ['config.ts', 'chain', 'core/engine', 'lib'],
  'outgoing.ts': ['config.ts', 'callbacks', 'settlement', 'core/engine', 'http', 'lib'],
  'coordinator-parts.ts': ['config.ts', 'core/engine', 'metrics', 'wire', 'lib'],
  'ownership.ts': ['cluster', 'coordinator-parts.ts', 'store', 'lib'],
  'cluster-coordinator.ts': [
    'cluster',
    'ownership.ts',
    'coordinator-parts.ts',
    'coordinator.ts',
    'config.ts',
    'metrics',
    'telemetry.ts',
    'http',
    'lib',
  ],
  'coordinator.ts': [
    'coordinator-parts.ts',
    'start-report.ts',
    'shown-settings.ts',
    'open-runner.ts',
    'outgoing.ts',
    'telemetry.ts',
    'metrics',
    'config.ts',
    'chain',
    'door',
    'core',
    'core/engine',
    'store',
    'rules',
    'http',
    'ws',
    'wire',
    'lib',
  ],
  demo: ['coordinator.ts', 'chain', 'inference-node', 'client', 'wire', 'lib'],
  commands: [
    'contract',
    'config.ts',
    'callbacks',
    'chain',
    'coordinator.ts',
    'coordinator-parts.ts',
    'cluster-coordinator.ts',
    'store',
    'inference-node',
    'client',
    'cluster',
    'metrics',
    'demo',
    'wire',
    'lib',
  ],
  'cli.ts': ['commands', 'lib'],
  'node-cli.ts': ['commands', 'lib'],
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

test('the dashboard takes from the service nothing but types of what is said on the wire', () => {
  const web = fileURLToPath(new URL('../../web', import.meta.url))
  const sources = readdirSync(web, { recursive: true, encoding: 'utf8' }).filter((f) => /\.tsx?$/.test(f))
  const taken = sources.flatMap((file) =>
    [...readFileSync(join(web, file), 'utf8').matchAll(/^import ([^']*?)'((?:\.\.\/)+src\/[^']+)'/gm)].map(
      ([, what = '', from = '']) => ({ file, what, from: relative(web, resolve(web, dirname(file), from)) }),
    ),
  )
  expect(taken.length).toBeGreaterThan(10)
  expect(taken.filter(({ what, from }) => !what.startsWith('type ') || !from.startsWith('../src/wire/'))).toEqual([])
})

test.each([
  { folder: 'src', most: 300 },
  { folder: 'web', most: 300 },
  { folder: 'test', most: 400 },
])('no file of $folder/ is longer than $most lines', ({ folder, most }) => {
  const top = fileURLToPath(new URL(`../../${folder}`, import.meta.url))
  const long = readdirSync(top, { recursive: true, encoding: 'utf8' })
    // The words of a language are one object, and no code.
    .filter((f) => /\.(tsx?|mjs|css)$/.test(f) && !f.includes('node_modules') && !f.startsWith('src/words/'))
    .map((file) => ({ file, lines: readFileSync(join(top, file), 'utf8').trimEnd().split('\n').length }))
    .filter(({ lines }) => lines > most)
  expect(long).toEqual([])
})
