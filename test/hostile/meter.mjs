import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpuSeconds } from '../bench/lib/proc.mjs'

/** Seconds that all processors of this machine have worked. */
function machineSeconds() {
  const [user, nice, system, , , irq, softirq] = readFileSync('/proc/stat', 'utf8')
    .split('\n', 1)[0]
    .match(/\d+/g)
    .map(Number)
  return (user + nice + system + irq + softirq) / 100
}

/**
 * What the service takes of the machine, and who else works on it.
 * @param pids by name; `service` is one of them
 */
export function createMeter(pids) {
  const status = (field) =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(`/proc/${pids.service}/status`, 'utf8'))[1]) /
    1024
  const cpuNow = () => ({
    ...Object.fromEntries(Object.entries(pids).map(([name, pid]) => [name, alive(pid) ? cpuSeconds(pid) : 0])),
    machine: machineSeconds(),
    at: performance.now(),
  })
  let before = cpuNow()
  return {
    /** MiB. */
    resident: () => status('VmRSS'),
    /** The most since the last time, MiB. */
    peak() {
      const peak = status('VmHWM')
      writeFileSync(`/proc/${pids.service}/clear_refs`, '5') // the kernel begins anew
      return peak
    },
    handles: () => readdirSync(`/proc/${pids.service}/fd`).length,
    alive: () => alive(pids.service),
    /** The share of one processor that each used since the last time; `others`: what is none of ours. */
    shares() {
      const now = cpuNow()
      const seconds = (now.at - before.at) / 1000
      const share = (name) => Math.max(0, now[name] - before[name]) / seconds
      const ours = Object.fromEntries(Object.keys(pids).map((name) => [name, share(name)]))
      const others = share('machine') - Object.values(ours).reduce((a, b) => a + b, 0)
      before = now
      return { ...ours, others: Math.max(0, others) }
    },
  }
}

function alive(pid) {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch (error) {
    if (error.code === 'ENOENT') return false
    throw error
  }
}
