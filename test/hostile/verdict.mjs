/** The most that the service may take above what it took before anybody came, MiB. */
const MOST_MEMORY_MIB = 512
/** What may be left of it, and of connections, when the attack is over. Freed memory goes back to the system late, or never. */
const LEFT_MIB = 256
const LEFT_HANDLES = 50

const mib = (n) => `${Math.round(n)} MiB`
const sum = (counts) => Object.values(counts).reduce((a, b) => a + b, 0)
const named = (counts) =>
  Object.entries(counts)
    .map(([name, n]) => `${n} x ${name}`)
    .join(', ')

/** Whether the service is about as it was before the attack. */
export const recovered = ({ before, after }) =>
  after.resident <= before.resident + LEFT_MIB && after.handles <= before.handles + LEFT_HANDLES

/**
 * What is to hold. `speed`: it also depends on how fast the machine is, and on what else runs on it.
 * Each says whether it holds, and what was found, as a sentence.
 */
const criteria = [
  { name: 'the service lives', judge: (f) => [f.alive, f.alive ? 'it does' : 'the process has ended'] },
  {
    name: `memory stays below ${MOST_MEMORY_MIB} MiB above idle`,
    judge: (f) => [f.peak - f.idle < MOST_MEMORY_MIB, `${mib(f.peak - f.idle)} above the ${mib(f.idle)} of idle`],
  },
  {
    name: 'no honest session is closed',
    judge: (f) => [f.closed.length === 0, `${f.closed.length} were: ${f.closed.slice(0, 3).join('; ')}`],
  },
  {
    name: 'no acknowledged task is lost, and each has its own answer',
    judge: (f) => [
      f.lost.length === 0 && f.wrong.length === 0,
      `${f.acknowledged} acknowledged, ${f.lost.length} not completed ${f.lost.slice(0, 3).join(', ')} ${f.wrong.slice(0, 3).join('; ')}`,
    ],
  },
  {
    name: 'every new node joins',
    judge: (f) => [
      f.attack.leftOut.length === 0 && f.attack.joins.length > 0,
      `${f.attack.joins.length} did, ${f.attack.leftOut.length} did not; ${f.attack.refusedJoins.length} were refused once or more ${f.attack.refusedJoins.slice(0, 3).join('; ')}`,
    ],
  },
  {
    name: 'each attack reached the service',
    judge: (f) => {
      const idle = Object.keys(f.attacks).filter((name) => sum(f.attacks[name]) === (f.attacks[name].begun ?? 0))
      return [idle.length === 0, idle.length === 0 ? 'it did' : `nothing came back for ${idle.join(', ')}`]
    },
  },
  {
    name: 'honest throughput is at least 0.8 of before',
    speed: true,
    judge: (f) => [
      f.attack.perSecond >= 0.8 * f.calm.perSecond,
      `${(f.attack.perSecond / f.calm.perSecond).toFixed(2)}: ${f.attack.perSecond.toFixed(0)} tasks a second, ${f.calm.perSecond.toFixed(0)} before`,
    ],
  },
  {
    name: '/health answers within 100 ms at p99',
    speed: true,
    judge: (f) => [
      f.attack.health.p99 <= 100 && sum(f.attack.unhealthy) === 0,
      `p50 ${f.attack.health.p50.toFixed(0)}, p99 ${f.attack.health.p99.toFixed(0)}, most ${f.attack.health.max.toFixed(0)} ms ${named(f.attack.unhealthy)}`,
    ],
  },
  {
    name: 'a new node joins within a second',
    speed: true,
    judge: (f) => [
      f.attack.joins.length > 0 && Math.max(...f.attack.joins) <= 1000,
      `the slowest took ${Math.max(0, ...f.attack.joins).toFixed(0)} ms`,
    ],
  },
  {
    name: 'nothing honest is refused or cut off',
    speed: true,
    judge: (f) => [
      sum(f.attack.refused) === 0,
      `${sum(f.attack.refused)} were ${named(f.attack.refused).slice(0, 300)}`,
    ],
  },
  {
    name: 'memory and connections are about as before soon after the attack',
    speed: true,
    judge: (f) => [
      recovered(f),
      `${mib(f.after.resident)} and ${f.after.handles} handles, ${mib(f.before.resident)} and ${f.before.handles} before`,
    ],
  },
]

/**
 * Judges the figures of a run. A service that has ended has none but that.
 * @param speed whether those criteria are judged that a slow machine fails
 * @returns { name, holds, found } of each criterion
 */
export const judge = (figures, { speed }) =>
  (figures.alive ? criteria : criteria.slice(0, 1))
    .filter((c) => speed || c.speed !== true)
    .map(({ name, judge: by }) => {
      const [holds, found] = by(figures)
      return { name, holds, found: found.trim() }
    })
