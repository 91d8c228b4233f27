// npm run bench:settlement -- [--tasks=20000] [--batch=50]
// What a settlement costs: two cores on files of their own, one that looks at the chain, take turns with the same paid tasks. Measured
// is the CPU of the turns that complete them, commit and fsync included, and of the turns behind them that give each settlement its
// row, which nobody waits for.
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createCore } from '../../dist/core/engine/core.js'
import { coreOptions, inferenceDefaults } from '../../dist/config.js'
import { createModelTable } from '../../dist/rules/models.js'
import { openDatabase } from '../../dist/store/open.js'
import { createStore } from '../../dist/store/store.js'
import { nodeMessages } from '../../dist/wire/node.js'
import { submitBody } from '../../dist/wire/rest.js'
import * as v from 'valibot'
import { readArgs } from './lib/args.mjs'

const options = readArgs('bench:settlement: what a completion costs with and without its settlement', {
  tasks: [20_000, 4000, 'tasks of each core in a run'],
  batch: [50, 50, 'results in a turn'],
  bytes: [600, 600, 'length of an output'],
})
const NODE_KEY = '023c72addb4fdf09af94f0c94d7fe92a386a7e70cf8a1d85916386bb2535c7b1b1'
const ORIGIN = 'ST3Y74M5227FDVHREWPH773F5Y1W1ED8WXXVB0G1S'
const folder = mkdtempSync(join(tmpdir(), 'bench-settlement-'))
process.once('exit', () => rmSync(folder, { recursive: true, force: true }))

const chain = {
  network: 'testnet',
  requireSignedTx: true,
  confirmations: 6,
  giveSignedTxToPollingNodes: false,
  pollInterval: 15_000,
  warnAfter: 600_000,
  observed: true,
  stakeRequired: false,
  stakeFactor: 3,
  stakeTtl: 60_000,
}

function openCore(name, withChain) {
  const database_path = join(folder, `${name}.db`)
  const { db } = openDatabase(database_path)
  const core = createCore({
    store: createStore(db),
    models: createModelTable(),
    options: coreOptions(inferenceDefaults({ database_path }), withChain ? chain : null),
    debug: false,
  })
  const hello = v.parse(nodeMessages['session.hello'], {
    type: 'session.hello',
    node_id: 'node-001',
    public_key: NODE_KEY,
    signature: 's',
    supported_models: ['llama'],
    max_concurrent_tasks: 1024,
  })
  let nonce = 0
  /** @throws when an operation was refused: then nothing was measured */
  const turn = (operations) => {
    const result = core.turn(operations)
    const refused = result.outcomes.find((outcome) => !outcome.ok || outcome.value?.some?.(({ ok }) => !ok))
    if (refused !== undefined) throw new Error(`${operations[0].op}: ${JSON.stringify(refused).slice(0, 300)}`)
    return result
  }
  turn([{ op: 'nodeHello', from: [], session: 1, key: NODE_KEY, hello }])
  const output = 'x'.repeat(options.bytes)
  return {
    /** @returns CPU of a completion, and of the row that follows it, microseconds */
    run(batches) {
      const cpu = { completing: 0, opening: 0 }
      const measure = (which, operations) => {
        const before = process.cpuUsage()
        turn(operations)
        const { user, system } = process.cpuUsage(before)
        cpu[which] += (user + system) / (batches * options.batch)
      }
      for (let b = 0; b < batches; b++) {
        const tasks = Array.from({ length: options.batch }, () => {
          nonce++
          return {
            ...v.parse(submitBody, {
              user_address: ORIGIN,
              user_input: 'What is a lease?',
              context: '',
              fee: 300,
              nonce,
              infer_fee: 2500,
              max_infer_time: 300,
              model_name: 'llama',
              signed_tx: 'ab'.repeat(198),
            }),
            paid: { txid: createHash('sha256').update(String(nonce)).digest('hex'), account: null },
          }
        })
        const { effects } = turn([{ op: 'submit', tasks }])
        const assigned = effects.filter(({ message }) => message.type === 'task.assign')
        if (assigned.length !== options.batch)
          throw new Error(`${assigned.length} of ${options.batch} tasks were assigned`)
        const done = assigned.map(({ message: { task_id, attempt } }) => ({
          op: 'nodeMessage',
          session: 1,
          message: { type: 'task.complete', task_id, attempt, output, confidence: 1 },
        }))
        measure('completing', done)
        if (withChain) measure('opening', [{ op: 'settlementsDue', limit: 1 }])
      }
      return cpu
    },
  }
}

const without = openCore('without', false)
const settling = openCore('with', true)
const BLOCK = 20
const rounds = Math.max(2, Math.round(options.tasks / options.batch / BLOCK))
without.run(BLOCK)
settling.run(BLOCK)
const ratios = []
const costs = { without: [], with: [], opening: [] }
for (let round = 0; round < rounds; round++) {
  const a = without.run(BLOCK)
  const b = settling.run(BLOCK)
  costs.without.push(a.completing)
  costs.with.push(b.completing)
  costs.opening.push(b.opening)
  ratios.push(b.completing / a.completing)
}
const median = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)]
const result = {
  without_us: median(costs.without),
  with_us: median(costs.with),
  opening_us: median(costs.opening),
  ratio: median(ratios),
}
console.log(
  `a completion: ${result.without_us.toFixed(1)} us without, ${result.with_us.toFixed(1)} us with a settlement; ratio ${result.ratio.toFixed(3)} (median of ${rounds} rounds in turns); its row, in a turn of its own: ${result.opening_us.toFixed(1)} us`,
)
