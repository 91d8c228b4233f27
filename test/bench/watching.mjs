// npm run bench:watching -- [--quick]
// What watching costs: one service, unwatched and watched in turns, under full load. Watched means: readers of the feed, open pages of
// the dashboard, and a scrape of the metrics each second. Then the reads of a page, one at a time, under that load.
import { DEFAULT_CLI } from './generate.mjs'
import { readArgs } from './lib/args.mjs'
import { startChild } from './lib/children.mjs'
import { ratios, show, showLatency, showSpread, spread } from './lib/measure.mjs'
import { createReport } from './lib/report.mjs'
import { startService } from './lib/service.mjs'
import { createRest, openSubmitter } from './lib/submitter.mjs'
import { startFleet } from './sessions/fleet.mjs'
import { getLatency, throughput } from './sessions/load.mjs'

const options = readArgs('bench:watching: full load, watched beside unwatched', {
  load: [20_000, 4000, 'tasks of one throughput'],
  rounds: [8, 2, 'rounds of each'],
  readers: [100, 100, 'readers of the feed, with those of the pages'],
  pages: [5, 5, 'open pages'],
  samples: [200, 20, 'calls of each read'],
})
const MODEL = 'bench-watching'
/** Throughput, watched against unwatched. */
const MUST = 0.97
const cli = options.cli || DEFAULT_CLI
const report = createReport('watching', options)
const service = await startService({ cli, config: { max_pending_tasks: 10_000_000 } })
const fleet = await startFleet({ url: service.url, cli, processes: 1 })
const watchers = startChild(new URL('./load/watchers.mjs', import.meta.url))
const found = {}
try {
  await fleet.grow(10, { models: [MODEL], slots: 10 })
  const session = await openSubmitter(service.url)
  const rest = createRest(service.url)
  const load = (by) => throughput(service, rest, fleet, options.load, by, { model: MODEL, session })
  const watched = async (work) => {
    await watchers.call('begin', { url: service.url, readers: options.readers, pages: options.pages })
    const result = await work()
    const seen = await watchers.call('end')
    if (seen.failures > 0) throw new Error(`${seen.failures} of those who watch were refused or cut off`)
    return { ...result, seen }
  }
  for (let round = -1; round < options.rounds; round++)
    for (const by of [100, 1])
      for (const side of round % 2 === 0 ? ['alone', 'watched'] : ['watched', 'alone']) {
        const result = side === 'alone' ? await load(by) : await watched(() => load(by))
        // The first round warms up.
        if (round < 0) continue
        const figures = ((found[by === 1 ? 'single' : 'bulk'] ??= {})[side] ??= { rate: [], cpu: [], events: [] })
        figures.rate.push(result.perSecond)
        figures.cpu.push(result.cpuMicros)
        if (result.seen !== undefined) figures.events.push(result.seen.events / options.readers)
      }
  const reads = { overview: '/api/v1/overview', models: '/api/v1/models', metrics: '/metrics' }
  for (const [name, path] of Object.entries(reads)) found[name] = await getLatency(rest, path, options.samples)
  const rows = ['bulk', 'single'].map((kind) => {
    const { alone, watched } = found[kind]
    const rate = ratios(watched.rate, alone.rate)
    report.summary(`${kind}: watched / unwatched`, `${showSpread(rate, ' x')} (must ${MUST})`, rate)
    return [
      kind === 'bulk' ? 'batches of 100' : 'single, by session',
      showSpread(spread(alone.rate)),
      showSpread(spread(watched.rate)),
      showSpread(rate, ' x'),
      `${show(spread(alone.cpu).median)}, ${show(spread(watched.cpu).median)}`,
    ]
  })
  report.table(`Submit, push, complete; ${options.readers} readers, ${options.pages} pages, a scrape a second`, [
    ['', 'unwatched, tasks/s', 'watched, tasks/s', 'watched / unwatched', 'CPU a task, us: unwatched, watched'],
    ...rows,
  ])
  report.table('Reads, one at a time, p50 / p99, ms', [
    ['', 'nothing else to do'],
    ...Object.keys(reads).map((name) => [reads[name], showLatency(found[name])]),
  ])
  report.raw('watching', found)
  rest.close()
  await session.close()
} finally {
  await Promise.all([watchers.stop(), fleet.stop()])
  await service.stop()
}
report.finish()
