// What /proc says of a process that is being measured: it takes no part in it.
import { readFileSync, readdirSync } from 'node:fs'

/** Linux counts CPU in hundredths of a second towards programs, on every platform Node runs on. */
const TICKS = 100

function fields(pid) {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  return text.slice(text.lastIndexOf(')') + 2).split(' ') // the name in brackets may hold anything; state is field 0
}

/** CPU seconds, user and system, of all threads of a process so far. */
export function cpuSeconds(pid) {
  const f = fields(pid)
  return (Number(f[11]) + Number(f[12])) / TICKS
}

/** The same of a process, those below it, and those below it that have ended. */
export function treeCpuSeconds(pid) {
  const below = new Map()
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    try {
      const parent = Number(fields(entry)[1])
      below.set(parent, [...(below.get(parent) ?? []), Number(entry)])
    } catch {
      // it ended while we looked
    }
  }
  const sum = (id) => {
    const f = fields(id)
    return (
      [11, 12, 13, 14].reduce((all, i) => all + Number(f[i]), 0) / TICKS +
      (below.get(id) ?? []).reduce((all, child) => all + sum(child), 0)
    )
  }
  return sum(pid)
}

/** Resident memory of a process, bytes. */
export function residentBytes(pid) {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  if (kib === undefined) throw new Error(`process ${pid} has ended`)
  return Number(kib) * 1024
}
