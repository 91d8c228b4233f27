// Two builds against each other: what each round of benchmarks has found of both, and which figures have moved.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { meanOf, median } from './measure.mjs'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
const git = (...args) => execFileSync('git', ['-C', ROOT, ...args], { encoding: 'utf8' }).trim()

/**
 * Builds a commit in a worktree of its own: with the packages of this checkout where its lock is the same, else with its own.
 * @param folder that is not there yet
 * @returns { commit, cli, remove() }
 */
export function buildCommit(name, folder) {
  const commit = git('rev-parse', '--verify', '--end-of-options', `${name}^{commit}`)
  git('worktree', 'add', '--detach', folder, commit)
  const remove = () => void git('worktree', 'remove', '--force', folder)
  const run = (command, ...args) => execFileSync(command, args, { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] })
  try {
    const lock = (of) => readFileSync(join(of, 'package-lock.json'), 'utf8')
    if (lock(folder) !== lock(ROOT)) run('npm', 'ci', '--ignore-scripts=false')
    else symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
    run('npm', 'run', '--silent', 'build')
    const cli = join(folder, 'dist', 'cli.js')
    if (!existsSync(cli)) throw new Error(`${commit} has no dist/cli.js after its build`)
    return { commit, cli, remove }
  } catch (error) {
    remove()
    throw error
  }
}

/** The figures of a summary by name: of a spread its median, of an object each of its numbers; what is no figure is left out. */
export function figuresOf(summary) {
  const found = new Map()
  const take = (name, value) => {
    if (typeof value === 'number' && Number.isFinite(value) && value > 0) found.set(name, value)
    else if (typeof value !== 'object' || value === null || Array.isArray(value)) return
    else if ('median' in value) take(name, value.median)
    else for (const [key, part] of Object.entries(value)) take(`${name}, ${key}`, part)
  }
  for (const { what, value } of summary) take(what, value)
  return found
}

/** The least starts of two builds side by side: of fewer the error of their mean is itself a guess. */
export const LEAST_STARTS = 6
/** A mean that is farther from 1 than so many of its standard errors is no chance: with eight starts one in fifty is. */
const ERRORS = 3

/**
 * How a figure has moved between two builds that were side by side: the geometric mean of the ratios of their starts, and its standard
 * error. It has moved when it is more than three of those from 1. A process differs from the next of the same build by more than its turns
 * do from each other, so that turns of one start count as one.
 * @param theirs, ours the figure in each start, from 0 up
 * @returns { ratio, error, moved }: ours to theirs; moved is -1, 0 or 1
 */
export function meanMovement(theirs, ours) {
  const logs = Array.from({ length: Math.min(theirs.length, ours.length) }, (_, i) => Math.log(ours[i] / theirs[i]))
  const { mean, error } = meanOf(logs)
  const isClear = logs.length >= LEAST_STARTS && Math.abs(mean) > ERRORS * error
  return { ratio: Math.exp(mean), error, moved: isClear ? Math.sign(mean) : 0 }
}

/** The least rounds that can tell a change from chance: with four that all say the same it is one in eight. */
export const LEAST_ROUNDS = 4

/**
 * How a figure has moved between two builds that were measured in turns.
 *
 * noise: how much one run of a build usually differs from its next, as a ratio, over the root of the rounds. A figure has moved when
 * every round says the same of its direction, and the median of their ratios is farther from 1 than the noise.
 * @param theirs, ours the figure in each round, from 0 up
 * @returns { ratio, least, most, noise, moved }: ours to theirs; moved is -1, 0 or 1
 */
export function movement(theirs, ours) {
  const rounds = Math.min(theirs.length, ours.length)
  const logs = Array.from({ length: rounds }, (_, i) => Math.log(ours[i] / theirs[i]))
  const steps = [theirs, ours].flatMap((list) => list.slice(1).map((x, i) => Math.abs(Math.log(x / list[i]))))
  const middle = median(logs)
  const noise = steps.length === 0 ? Infinity : median(steps) / Math.sqrt(rounds)
  const agree = logs.every((x) => x > 0) || logs.every((x) => x < 0)
  return {
    ratio: Math.exp(middle),
    least: Math.exp(Math.min(...logs)),
    most: Math.exp(Math.max(...logs)),
    noise: Math.exp(noise) - 1,
    moved: rounds >= LEAST_ROUNDS && agree && Math.abs(middle) > noise ? Math.sign(middle) : 0,
  }
}
