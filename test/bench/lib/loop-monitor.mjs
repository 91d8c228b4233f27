// Loaded into a service that is measured, before its own code: SIGUSR2 writes the event loop's delay since the last time.
import { existsSync, renameSync, writeFileSync } from 'node:fs'
import { monitorEventLoopDelay, performance } from 'node:perf_hooks'
import { isMainThread } from 'node:worker_threads'

const RESOLUTION = 2 // ms between two looks; a look that is on time is counted as so much
const file = process.env.BENCH_LOOP_FILE
if (isMainThread && file !== undefined) {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION })
  histogram.enable()
  let before = performance.eventLoopUtilization()
  process.on('SIGUSR2', () => {
    const ms = (ns) => Math.max(0, ns / 1e6 - RESOLUTION)
    const { utilization } = performance.eventLoopUtilization(before)
    writeFileSync(
      `${file}.new`,
      JSON.stringify({
        p50: ms(histogram.percentile(50)),
        p99: ms(histogram.percentile(99)),
        max: ms(histogram.max),
        looks: histogram.count,
        utilization,
      }),
    )
    renameSync(`${file}.new`, file) // whoever waits for the file sees all of it
    histogram.disable()
    histogram.reset()
    // The looks wake an idle process, and must not while its latency is measured.
    if (!existsSync(`${file}.off`)) histogram.enable()
    before = performance.eventLoopUtilization()
  })
}
