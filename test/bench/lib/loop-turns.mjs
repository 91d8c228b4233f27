// Loaded into a service that is measured, before its own code: SIGUSR2 writes the longest turn of the event loop since the last time.
import { renameSync, writeFileSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import { isMainThread } from 'node:worker_threads'

const file = process.env.BENCH_LOOP_FILE
if (isMainThread && file !== undefined) {
  const cpuMs = () => {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1000
  }
  let longest = 0
  let [at, cpu] = [performance.now(), cpuMs()]
  const turn = () => {
    const [now, used] = [performance.now(), cpuMs()]
    // What other processes take of the processor meanwhile makes a turn no longer than it is.
    longest = Math.max(longest, Math.min(now - at, used - cpu))
    ;[at, cpu] = [now, used]
    setImmediate(turn)
  }
  setImmediate(turn)
  const tell = () => {
    writeFileSync(`${file}.new`, JSON.stringify({ longest }))
    renameSync(`${file}.new`, file) // whoever waits for the file sees all of it
    // To write it is none of the turns that are measured.
    longest = 0
    ;[at, cpu] = [performance.now(), cpuMs()]
  }
  // The turn in which the answer was made is over, and counted, only two later.
  process.on('SIGUSR2', () => setImmediate(() => setImmediate(tell)))
}
