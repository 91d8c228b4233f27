import { latency, showLatency } from '../lib/measure.mjs'
import { getLatency } from '../sessions/load.mjs'
import { RARE } from '../stored/rows.mjs'

export const STATS = '/stats'
const OVERVIEW = '/overview'
/** Places that the end of the history is kept away from, so that a page has enough before it. */
const MARGIN = 15_000

/**
 * What is read of a history of `tasks` tasks: name -> path of the i-th call.
 * @param ids of some stored tasks, for the detail of one
 */
export function reads(tasks, ids) {
  const deep = (i) => 1 + Math.min(tasks, MARGIN) + ((i * 7919 * 131) % Math.max(1, tasks - MARGIN))
  const filters = {
    'no filter': '',
    'status=completed': '&status=completed',
    'status=pending': '&status=pending',
    'status=timeout': '&status=timeout',
    'status=submitted (none)': '&status=submitted',
    'a common model': '&model=llama-3-8b',
    'a rare model': `&model=${RARE.model}`,
    'a family': '&model=mistral',
    'a busy user': '&user=ST0000000010',
    'a rare user': `&user=${RARE.user}`,
    'a busy node': '&node=stored-node-1',
    'a rare node': `&node=${RARE.node}`,
    'a node, a user and a status': `&node=${RARE.node}&user=${RARE.user}&status=failed`,
  }
  const pages = Object.entries(filters).flatMap(([name, filter]) =>
    [50, 1000].flatMap((limit) => [
      [`${name}|first ${limit}`, () => `/api/v1/tasks?limit=${limit}${filter}`],
      [`${name}|deep ${limit}`, (i) => `/api/v1/tasks?limit=${limit}${filter}&cursor=${deep(i)}`],
    ]),
  )
  return Object.fromEntries([
    [STATS, () => '/api/v1/stats'],
    [OVERVIEW, () => '/api/v1/overview?window=24h'],
    ['detail of a random task', (i) => `/api/v1/tasks/${ids[i % ids.length]}`],
    ...pages,
  ])
}

/** What must be kept, p99 in ms. */
const mustOf = (name) => ([STATS, OVERVIEW].includes(name) ? 5 : 10)
const judge = (name, l) => `${showLatency(l)}${l.p99 > mustOf(name) ? ' !' : ''}`
export const missed = (taken) =>
  Object.entries(taken)
    .filter(([name, l]) => l.p99 > mustOf(name))
    .map(([name]) => name)

/** The table of what `readAll` found: one row for each filter. */
export function tableOf(taken) {
  const pages = Object.keys(taken).filter((name) => name.includes('|'))
  const columns = [...new Set(pages.map((name) => name.split('|')[1]))]
  return [
    ['p50 / p99, ms; ! = over the limit', ...columns],
    ...Object.keys(taken)
      .filter((name) => !pages.includes(name))
      .map((name) => [name, judge(name, taken[name])]),
    ...[...new Set(pages.map((name) => name.split('|')[0]))].map((filter) => [
      filter,
      ...columns.map((c) => judge(c, taken[`${filter}|${c}`])),
    ]),
  ]
}

/** Some task ids from all over the history. */
export async function someIds(rest, tasks, count) {
  const ids = []
  for (let i = 0; i < count; i++) {
    const { tasks: page } = await rest.get(`/api/v1/tasks?limit=1&cursor=${2 + Math.floor(((tasks - 2) * i) / count)}`)
    ids.push(...page.map((t) => t.task_id))
  }
  return ids
}

/** Latencies of every read, ms, in turns, so that what else the machine does falls on all of them. */
export async function readAll(rest, calls, samples) {
  const names = Object.keys(calls)
  const taken = Object.fromEntries(names.map((name) => [name, []]))
  const ROUNDS = 4
  for (let round = 0; round < ROUNDS; round++) {
    for (const name of names) {
      const from = round * Math.ceil(samples / ROUNDS)
      const { list } = await getLatency(rest, (i) => calls[name](from + i), Math.ceil(samples / ROUNDS))
      taken[name].push(...list)
    }
  }
  return Object.fromEntries(names.map((name) => [name, latency(taken[name])]))
}
