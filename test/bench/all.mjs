// npm run bench -- [--out=FOLDER] [--full] [--compare=COMMIT]
// All benchmarks one after the other, a short pass each, and one table of what they found; or some of them with the builds of two
// commits in turns, and which figures moved by more than the noise.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readArgs } from './lib/args.mjs'
import { endChild, killAtExit } from './lib/children.mjs'
import { buildCommit, figuresOf, LEAST_ROUNDS, movement } from './lib/compare.mjs'
import { now, show } from './lib/measure.mjs'
import { machine, printTable } from './lib/report.mjs'

const NAMES = ['dispatch', 'rest', 'streams', 'askers', 'access', 'watching', 'overload', 'sessions', 'growth', 'start']
/** Those that measure one build: the others have both sides in themselves, or make files that take minutes. */
const COMPARED = ['dispatch', 'rest', 'start']

const options = readArgs('bench: every benchmark, a short pass each, in a few minutes', {
  only: ['', '', `of ${NAMES.join(',')} only these; with --compare ${COMPARED.join(',')} unless it says others`],
  full: [false, false, 'not the short pass: takes long'],
  runs: ['', '', 'runs of each case; as each benchmark has it when empty'],
  limit: [90, 90, 'seconds that one benchmark may take in the short pass'],
  compare: ['', '', 'a commit: its build and this one in turns, and which figures moved'],
  rounds: [5, LEAST_ROUNDS, `of --compare, at least ${LEAST_ROUNDS}: each measures both builds`],
})
const stopWith = (message) => {
  console.error(message)
  process.exit(2)
}
const names = options.only !== '' ? options.only.split(',') : options.compare === '' ? NAMES : COMPARED
const unknown = names.find((name) => !NAMES.includes(name))
if (unknown !== undefined) stopWith(`--only: there is no ${unknown}; ${NAMES.join(', ')}`)
if (options.rounds < LEAST_ROUNDS)
  stopWith(`--rounds: at least ${LEAST_ROUNDS}, or chance cannot be told from a change`)
const out = options.out ? resolve(options.out) : mkdtempSync(join(tmpdir(), 'bench-report-'))
mkdirSync(out, { recursive: true })

/** Runs one benchmark. @returns { name, seconds, failure, summary }; failure is null where there is none */
async function run(name, { cli = options.cli, runs = options.runs, folder = out } = {}) {
  console.log(`\n== ${name}`)
  const flags = [
    `--out=${folder}`,
    ...(options.full ? [] : ['--quick']),
    ...(cli ? [`--cli=${cli}`] : []),
    ...(runs ? [`--runs=${runs}`] : []),
  ]
  const file = join(folder, `${name}.json`)
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
  return { name, seconds: (now() - started) / 1000, failure, summary: found.summary }
}

function write(results) {
  const file = join(out, 'bench.json')
  writeFileSync(file, `${JSON.stringify({ machine: machine(), options, results }, null, 1)}\n`)
  console.log(`\none JSON file for each, and ${file}`)
}

async function passOverAll() {
  const results = []
  for (const name of names) results.push(await run(name))
  const rowsOf = ({ name, seconds, failure, summary }) => [
    [name, failure === null ? `took ${show(seconds)} s` : 'FAILED', failure ?? ''],
    ...summary.map(({ what, text }) => ['', what, text]),
  ]
  console.log()
  printTable([['benchmark', 'what', 'figure'], ...results.flatMap(rowsOf)], 3)
  write(results)
  if (results.some((r) => r.failure !== null)) process.exitCode = 1
}

async function compare() {
  const theirs = buildCommit(options.compare, join(out, 'build'))
  process.once('exit', theirs.remove)
  /** By benchmark and figure: what each build had in each round. */
  const found = new Map()
  let failures = 0
  for (let round = 0; round < options.rounds; round++) {
    for (const name of names) {
      // The other one is first every time, so that what drifts hits both alike.
      const builds = round % 2 === 0 ? ['theirs', 'ours'] : ['ours', 'theirs']
      const figures = {}
      for (const build of builds) {
        const folder = join(out, `${build}-${round + 1}`)
        mkdirSync(folder, { recursive: true })
        const { failure, summary } = await run(name, {
          cli: build === 'theirs' ? theirs.cli : options.cli,
          runs: options.runs || '1',
          folder,
        })
        if (failure !== null) failures++
        figures[build] = failure === null ? figuresOf(summary) : new Map()
      }
      for (const [what, value] of figures.theirs) {
        const own = figures.ours.get(what)
        if (own === undefined) continue
        const row = found.get(`${name}\n${what}`) ?? { name, what, theirs: [], ours: [] }
        found.set(`${name}\n${what}`, row)
        row.theirs.push(value)
        row.ours.push(own)
      }
    }
  }
  const results = [...found.values()].map((row) => ({ ...row, ...movement(row.theirs, row.ours) }))
  console.log(
    `\n${options.rounds} rounds of this build and ${theirs.commit.slice(0, 12)} in turns; ratio: this one to that one`,
  )
  printTable(
    [
      ['benchmark', 'figure', 'moved', 'ratio', 'in the rounds', 'noise'],
      ...results.map(({ name, what, ratio, least, most, noise, moved }) => [
        name,
        what,
        moved === 0 ? '' : moved > 0 ? 'UP' : 'DOWN',
        ratio.toFixed(2),
        `${least.toFixed(2)}..${most.toFixed(2)}`,
        `${(noise * 100).toFixed(0)} %`,
      ]),
    ],
    3,
  )
  const moved = results.filter((row) => row.moved !== 0).length
  console.log(
    `\n${moved} of ${results.length} figures moved by more than the noise${failures === 0 ? '' : `; ${failures} runs FAILED`}`,
  )
  write(results)
  if (failures > 0) process.exitCode = 1
}

await (options.compare === '' ? passOverAll() : compare())
