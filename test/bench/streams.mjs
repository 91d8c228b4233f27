// npm run bench:streams -- [--quick] [--intervals=,50]
// How long a piece of text takes from the model server to the socket of who asked, each side in a process of its own.
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { readArgs } from './lib/args.mjs'
import { startChild, within } from './lib/children.mjs'
import { latency, now, show, showLatency } from './lib/measure.mjs'
import { createReport } from './lib/report.mjs'
import { startService } from './lib/service.mjs'
import { openSubmitter } from './lib/submitter.mjs'
import { submissionOf } from './lib/tasks.mjs'

const options = readArgs('bench:streams: from the model server through a node and the service to the submitter', {
  pieces: [200, 60, 'pieces of each answer'],
  firsts: [200, 50, 'answers of one piece, one after the other'],
  gaps: ['20,5,1', '20,1', 'ms between the pieces of an answer'],
  streams: ['1,32', '1,16', 'answers at once'],
  intervals: ['', '', 'ms for which a node gathers pieces, with commas between; an empty one is its default'],
  limit: [120, 60, 'seconds that the answers of one case may take'],
})
const numbers = (list) => list.split(',').map(Number)
const moduleOf = (name) => fileURLToPath(new URL(`../../dist/${name}`, import.meta.url))
const report = createReport('streams', options)
const service = await startService({ cli: options.cli })
const model = startChild(new URL('./load/streams.mjs', import.meta.url))
const baseUrl = await model.call('model')
let number = 0

/** So many answers at once: how long each of their pieces took. */
async function measure(run, streams, gap, pieces = options.pieces) {
  const delays = []
  let messages = 0
  let left = streams
  let done
  const all = new Promise((resolve) => (done = resolve))
  const submitter = await openSubmitter(service.ws, {
    onOutput({ delta }) {
      const at = now()
      messages++
      const spoken = delta.trim().split(' ').map(Number)
      for (const time of spoken) delays.push(at - time)
    },
    onResult({ status }) {
      if (status !== 'completed') throw new Error(`a task is ${status}`)
      if (--left === 0) done()
    },
  })
  const tasks = Array.from({ length: streams }, () => ({
    ...submissionOf(run, number++),
    user_input: `${pieces} ${gap}`,
  }))
  await Promise.all(tasks.map((task) => submitter.submit(task, 'output')))
  await within(options.limit * 1000, `${streams} answers`, all)
  await submitter.close()
  return { delays, messages, missed: streams * pieces - delays.length }
}

const rows = [
  ['gathers', 'at once', 'ms between pieces', 'a piece, p50 / p99 ms', 'messages', 'with the result', 'node CPU'],
]
for (const interval of options.intervals.split(',')) {
  for (const streams of numbers(options.streams)) {
    const node = startChild(new URL('./load/streams.mjs', import.meta.url))
    await node.call('node', {
      module: moduleOf('inference-node/index.js'),
      coordinator: service.url,
      baseUrl,
      slots: streams,
      interval: interval === '' ? undefined : Number(interval),
    })
    const run = `s${interval}-${streams}-${process.pid}`
    await measure(`${run}-warm`, streams, 1)
    if (streams === 1) {
      const firsts = []
      for (let i = 0; i < options.firsts; i++) {
        firsts.push(...(await measure(`${run}-${i}`, 1, 0, 1)).delays)
        await sleep(Math.random() * 6)
      }
      const first = latency(firsts)
      report.say(`the first piece of an answer, p50 / p99: ${showLatency(first)} ms`)
      report.summary('the first piece of an answer, model server to submitter', `${showLatency(first)} ms`, first)
    }
    for (const gap of numbers(options.gaps)) {
      const before = await node.call('cpu')
      const { delays, messages, missed } = await measure(`${run}-${gap}`, streams, gap)
      const cpu = (await node.call('cpu')) - before
      const piece = latency(delays)
      report.raw(`${interval} ${streams} ${gap}`, delays)
      rows.push([
        interval === '' ? 'default' : `${interval} ms`,
        streams,
        gap,
        showLatency(piece),
        messages,
        missed, // a stream had them left when it ended: they came with its result
        show(cpu, ' s'),
      ])
      if (streams === 1 && gap >= 20)
        report.summary('a piece of text, model server to submitter', `${showLatency(piece)} ms`, piece)
    }
    await node.call('close')
    await node.stop()
  }
}
report.table('from the model server to the submitter', rows)
report.finish()
await model.stop()
await service.stop()
process.exit(0)
