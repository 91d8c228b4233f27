// npm run bench -- [--out=FOLDER] [--full]
// All benchmarks one after the other, a short pass each, and one table of what they found.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readArgs } from './lib/args.mjs'
import { endChild, killAtExit } from './lib/children.mjs'
import { now, show } from './lib/measure.mjs'
import { machine, printTable } from './lib/report.mjs'

const options = readArgs('bench: every benchmark, a short pass each, in a few minutes', {
  only: ['', '', 'of dispatch,rest,streams,askers,access,watching,overload,sessions,growth,start only these'],
  full: [false, false, 'not the short pass: takes long'],
  runs: ['', '', 'runs of each case; as each benchmark has it when empty'],
  limit: [90, 90, 'seconds that one benchmark may take in the short pass'],
})
const NAMES = ['dispatch', 'rest', 'streams', 'askers', 'access', 'watching', 'overload', 'sessions', 'growth', 'start']
const names = options.only === '' ? NAMES : options.only.split(',')
const unknown = names.find((name) => !NAMES.includes(name))
if (unknown !== undefined) {
  console.error(`--only: there is no ${unknown}; ${NAMES.join(', ')}`)
  process.exit(2)
}
const out = options.out ? resolve(options.out) : mkdtempSync(join(tmpdir(), 'bench-report-'))
mkdirSync(out, { recursive: true })

const results = []
for (const name of names) {
  console.log(`\n== ${name}`)
  const flags = [
    `--out=${out}`,
    ...(options.full ? [] : ['--quick']),
    ...(options.cli ? [`--cli=${options.cli}`] : []),
    ...(options.runs ? [`--runs=${options.runs}`] : []),
  ]
  const file = join(out, `${name}.json`)
  rmSync(file, { force: true }) // that of an earlier pass
  const started = now()
  const child = spawn(process.execPath, [fileURLToPath(new URL(`./${name}.mjs`, import.meta.url)), ...flags], {
    stdio: 'inherit',
  })
  killAtExit(child)
  let late = false
  const end = () => {
    late = true
    void endChild(child, 10_000)
  }
  const timer = options.full ? undefined : setTimeout(end, options.limit * 1000)
  const [code, signal] = await once(child, 'exit')
  clearTimeout(timer)
  const failure = code === 0 ? null : late ? `not done within ${options.limit} s` : `ended with ${signal ?? code}`
  const found = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : { summary: [] }
  results.push({ name, seconds: (now() - started) / 1000, failure, summary: found.summary })
}

console.log()
const rowsOf = ({ name, seconds, failure, summary }) => [
  [name, failure === null ? `took ${show(seconds)} s` : 'FAILED', failure ?? ''],
  ...summary.map(({ what, text }) => ['', what, text]),
]
printTable([['benchmark', 'what', 'figure'], ...results.flatMap(rowsOf)], 3)
const file = join(out, 'bench.json')
writeFileSync(file, `${JSON.stringify({ machine: machine(), options, results }, null, 1)}\n`)
console.log(`\none JSON file for each, and ${file}`)
if (results.some((r) => r.failure !== null)) process.exitCode = 1
