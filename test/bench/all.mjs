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
import { buildCommit, figuresOf, LEAST_ROUNDS, LEAST_STARTS, meanMovement, movement } from './lib/compare.mjs'
import { median, now, show } from './lib/measure.mjs'
import { machine, printTable } from './lib/report.mjs'
import { sideBySide } from './lib/side-by-side.mjs'

const NAMES = ['dispatch', 'rest', 'streams', 'askers', 'access', 'watching', 'overload', 'sessions', 'growth', 'start']
/** Services of both builds side by side, in short turns; only with --compare. */
const LOAD = 'load'
/** Then those that measure one build, in rounds: the others have both sides in themselves, or make files that take minutes. */
const COMPARED = [LOAD, 'rest', 'start']

const options = readArgs('bench: every benchmark, a short pass each, in a few minutes', {
  only: ['', '', `of ${NAMES.join(',')} only these; with --compare ${COMPARED.join(',')} unless it says others`],
  full: [false, false, 'not the short pass: takes long'],
  runs: ['', '', 'runs of each case; as each benchmark has it when empty'],
  limit: [90, 90, 'seconds that one benchmark may take in the short pass'],
  compare: ['', '', 'a commit: its build and this one in turns, and which figures moved'],
  rounds: [5, LEAST_ROUNDS, `of --compare, at least ${LEAST_ROUNDS}: each measures both builds`],
  starts: [8, LEAST_STARTS, `of --compare, new services of both builds in ${LOAD}, at least ${LEAST_STARTS}`],
  tasks: [10_000, 4000, `of --compare, in each turn of ${LOAD}`],
  'slow-disk': [0, 0, `of --compare, in ${LOAD}: ms that every fsync takes longer; needs a C compiler`],
})
const stopWith = (message) => {
  console.error(message)
  process.exit(2)
}
const names = options.only !== '' ? options.only.split(',') : options.compare === '' ? NAMES : COMPARED
const unknown = names.find((name) => !NAMES.includes(name) && !(name === LOAD && options.compare !== ''))
if (unknown !== undefined) stopWith(`--only: there is no ${unknown}; ${NAMES.join(', ')}`)
if (options.rounds < LEAST_ROUNDS)
  stopWith(`--rounds: at least ${LEAST_ROUNDS}, or chance cannot be told from a change`)
if (options.starts < LEAST_STARTS)
  stopWith(`--starts: at least ${LEAST_STARTS}, or chance cannot be told from a change`)
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

const arrow = (moved) => (moved === 0 ? '' : moved > 0 ? 'UP' : 'DOWN')

/** @returns the figures of both builds side by side, and how each has moved */
async function compareSideBySide(cli) {
  console.log(`\n== ${LOAD}: both builds side by side, started ${options.starts} times`)
  const rows = await sideBySide([cli, options.cli], {
    starts: options.starts,
    tasks: options.tasks,
    idle: options.quick ? 15 : 40,
    slowDisk: options['slow-disk'],
  })
  const results = rows.map(({ what, found: [theirs, ours] }) => ({
    name: LOAD,
    what,
    theirs,
    ours,
    ...meanMovement(theirs, ours),
  }))
  printTable(
    [
      ['figure', 'that build', 'this one', 'moved', 'mean ratio', 'its error'],
      ...results.map(({ what, theirs, ours, ratio, error, moved }) => [
        what,
        show(median(theirs)),
        show(median(ours)),
        arrow(moved),
        ratio.toFixed(3),
        error.toFixed(3),
      ]),
    ],
    1,
  )
  return results
}

async function compare() {
  const theirs = buildCommit(options.compare, join(out, 'build'))
  process.once('exit', theirs.remove)
  const loads = names.includes(LOAD) ? await compareSideBySide(theirs.cli) : []
  const inRounds = names.filter((name) => name !== LOAD)
  /** By benchmark and figure: what each build had in each round. */
  const found = new Map()
  let failures = 0
  for (let round = 0; round < options.rounds; round++) {
    for (const name of inRounds) {
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
  if (results.length > 0) printRounds(results, theirs.commit)
  const all = [...loads, ...results]
  const moved = all.filter((row) => row.moved !== 0).length
  console.log(
    `\n${moved} of ${all.length} figures moved by more than the noise${failures === 0 ? '' : `; ${failures} runs FAILED`}`,
  )
  write(all)
  if (failures > 0) process.exitCode = 1
}

function printRounds(results, commit) {
  console.log(
    `\n${options.rounds} rounds of this build and ${commit.slice(0, 12)} in turns; ratio: this one to that one`,
  )
  printTable(
    [
      ['benchmark', 'figure', 'moved', 'ratio', 'in the rounds', 'noise'],
      ...results.map(({ name, what, ratio, least, most, noise, moved }) => [
        name,
        what,
        arrow(moved),
        ratio.toFixed(2),
        `${least.toFixed(2)}..${most.toFixed(2)}`,
        `${(noise * 100).toFixed(0)} %`,
      ]),
    ],
    3,
  )
}

await (options.compare === '' ? passOverAll() : compare())
