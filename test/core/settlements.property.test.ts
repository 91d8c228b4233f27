import { createHash } from 'node:crypto'
import { join } from 'node:path'
import fc from 'fast-check'
import * as v from 'valibot'
import { expect, onTestFinished, test } from 'vitest'
import { coreOptions, inferenceDefaults } from '../../src/config.js'
import type { ChainOptions } from '../../src/core/context.js'
import { createCore } from '../../src/core/engine/core.js'
import type { Operation } from '../../src/core/operations.js'
import type { BlockTransaction, SettlementReport } from '../../src/core/settlement/reports.js'
import { createModelTable } from '../../src/rules/models.js'
import { canSettle, settlementMoves, type SettlementState } from '../../src/rules/settlement.js'
import type { SettlementRow } from '../../src/store/settlement-schema.js'
import { openDatabase } from '../../src/store/open.js'
import { createStore } from '../../src/store/store.js'
import { nodeMessages } from '../../src/wire/node.js'
import { submitBody } from '../../src/wire/rest.js'
import { assigned } from '../support/core-harness.js'
import { fakeTime } from '../support/fake-time.js'
import { calm } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'

const NODE_KEY = '023c72addb4fdf09af94f0c94d7fe92a386a7e70cf8a1d85916386bb2535c7b1b1'
const PAYEE = 'STXW53BDJBCGEFXNWEPZ90BSBTQM8TYEXQG3NP3K'
const ORIGIN = 'ST3Y74M5227FDVHREWPH773F5Y1W1ED8WXXVB0G1S'
const chain: ChainOptions = {
  network: 'testnet',
  requireSignedTx: true,
  confirmations: 3,
  giveSignedTxToPollingNodes: false,
  pollInterval: 10_000,
  warnAfter: 60_000,
  observed: true,
  stakeRequired: false,
  stakeFactor: 3,
  stakeTtl: 60_000,
}
const hex = (text: string): string => createHash('sha256').update(text).digest('hex')

type Kind = 'ours' | 'hijacked' | 'aborted' | 'replaced'
interface Block {
  name: string
  parent: Block | null
  height: number
  /** By nonce. */
  has: Map<number, Kind>
}
interface Row {
  task_id: string
  state: SettlementState
  payee: string
  output_hash: string
}

/** All that can happen, in terms that fit any history: numbers are taken modulo what there is. */
const step = fc.oneof(
  { weight: 4, arbitrary: fc.constant({ is: 'submit' } as const) },
  { weight: 4, arbitrary: fc.record({ is: fc.constant('complete' as const), which: fc.nat() }) },
  {
    weight: 6,
    arbitrary: fc.record({
      is: fc.constant('report' as const),
      which: fc.nat(),
      seen: fc.constantFrom('posted', 'later', 'rejected', 'hijacked', 'absent', 'nonce_used', 'behind'),
      times: fc.integer({ min: 1, max: 5 }),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      is: fc.constant('block' as const),
      /** How far below the newest block it begins. */
      below: fc.constantFrom(0, 0, 0, 0, 1, 2, 3),
      has: fc.array(
        fc.tuple(fc.nat(), fc.constantFrom<Kind>('ours', 'ours', 'ours', 'hijacked', 'aborted', 'replaced')),
        { maxLength: 3 },
      ),
      /** An event may be lost, or come twice. */
      told: fc.constantFrom(0, 1, 1, 1, 1, 2),
      isTip: fc.boolean(),
    }),
  },
  { weight: 3, arbitrary: fc.record({ is: fc.constant('tip' as const), below: fc.nat({ max: 4 }) }) },
  { weight: 2, arbitrary: fc.record({ is: fc.constant('retry' as const), which: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ is: fc.constant('dropped' as const), which: fc.nat() }) },
  { weight: 1, arbitrary: fc.constant({ is: 'gap' } as const) },
  { weight: 1, arbitrary: fc.record({ is: fc.constant('time' as const), seconds: fc.integer({ min: 1, max: 60 }) }) },
  { weight: 1, arbitrary: fc.constant({ is: 'restart' } as const) },
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

/** One file for all histories, each of which has nonces and heights of its own: to make a file takes longer than a history. */
function openWorld() {
  const database_path = join(tempDir(), 'inference.db')
  const { db, close } = openDatabase(database_path)
  onTestFinished(() => close())
  const time = fakeTime()
  const open = () =>
    createCore({
      store: createStore(db),
      models: createModelTable(),
      options: coreOptions(inferenceDefaults({ ...calm, database_path }), chain),
      time,
      random: () => 0.5,
    })
  let core = open()
  let session = 0
  let history = 0
  const rows = db.prepare<[string, string], Row>(
    'SELECT task_id, state, payee, output_hash FROM settlements WHERE task_id >= ? AND task_id < ?',
  )
  const recount = db.prepare<[], { state: SettlementState; n: number }>(
    'SELECT state, count(*) AS n FROM settlements GROUP BY state',
  )
  const statuses = db.prepare<[string], { status: string }>('SELECT status FROM inference_tasks WHERE task_id = ?')

  return (steps: readonly Step[]): Set<SettlementState> => {
    const number = ++history
    const met = new Set<SettlementState>()
    const nonceOf = (index: number): number => number * 1000 + index
    const prefix = `history-${String(number).padStart(6, '0')}-`
    const taskOf = (index: number): string => prefix + String(index)
    const txidOf = (index: number): string => hex(`tx ${nonceOf(index)}`)
    let tasks = 0
    /** What the node has of this history, by index. */
    const held = new Map<number, { task_id: string; attempt: number }>()
    const done: number[] = []
    const genesis: Block = { name: hex(`genesis ${number}`), parent: null, height: number * 1000, has: new Map() }
    const blocks = [genesis]
    let before = new Map<string, Row>()

    const turn = (...operations: Operation[]) => {
      const result = core.turn(operations)
      for (const outcome of result.outcomes)
        if (outcome !== undefined && !outcome.ok && outcome.code === 'internal') throw new Error(`${JSON.stringify(operations)} is refused: ${outcome.message}`) // prettier-ignore
      return result
    }
    const hello = () => {
      const parsed = v.parse(nodeMessages['session.hello'], {
        type: 'session.hello',
        node_id: 'node-001',
        public_key: 'k',
        signature: 's',
        supported_models: ['llama'],
        max_concurrent_tasks: 64,
        running: [...held.values()],
      })
      turn({ op: 'nodeHello', from: [], session: ++session, key: NODE_KEY, hello: parsed })
    }
    const submit = () => {
      const index = tasks++
      const body = v.parse(submitBody, {
        task_id: taskOf(index),
        user_address: ORIGIN,
        user_input: 'q',
        fee: 300,
        nonce: nonceOf(index),
        infer_fee: 2500,
        max_infer_time: 600,
        model_name: 'llama',
        signed_tx: 'ab',
      })
      const { effects } = turn({ op: 'submit', tasks: [{ ...body, paid: { txid: txidOf(index), account: null } }] })
      const assignment = assigned(effects).find(({ task_id }) => task_id === taskOf(index))
      if (assignment === undefined) throw new Error(`${taskOf(index)} was given to nobody`)
      held.set(index, { task_id: assignment.task_id, attempt: assignment.attempt })
    }
    const complete = (index: number) => {
      const attempt = held.get(index)
      if (attempt === undefined) return
      held.delete(index)
      done.push(index)
      const said = { type: 'task.complete', ...attempt, output: `answer ${taskOf(index)}`, confidence: 1 }
      turn({ op: 'nodeMessage', session, message: v.parse(nodeMessages['task.complete'], said) })
    }
    const transaction = (index: number, kind: Kind): BlockTransaction => ({
      txid: kind === 'replaced' ? hex(`rival ${nonceOf(index)}`) : txidOf(index),
      origin: ORIGIN,
      nonce: nonceOf(index),
      inference: {
        payee: kind === 'hijacked' ? ORIGIN : PAYEE,
        output_hash: hex(`answer ${taskOf(index)}`),
        succeeded: kind !== 'aborted',
      },
    })
    const announce = ({ name, parent, height, has }: Block) =>
      turn({
        op: 'chainBlock',
        block: {
          index_block_hash: name,
          parent: parent?.name ?? hex('nothing'),
          height,
          burn_height: height,
          transactions: [...has].map(([index, kind]) => transaction(index, kind)),
        },
      })
    const tip = ({ name, height }: Block) =>
      turn({ op: 'chainTip', tip: { index_block_hash: name, height, burn_height: height } })
    const usedBelow = (block: Block): Set<number> => {
      const used = new Set<number>()
      for (let b: Block | null = block; b !== null; b = b.parent) for (const index of b.has.keys()) used.add(index)
      return used
    }
    const grow = (parent: Block, wanted: readonly (readonly [number, Kind])[]): Block => {
      const used = usedBelow(parent)
      const has = new Map(wanted.filter(([index]) => !used.has(index)))
      const block = { name: hex(`block ${number} ${blocks.length}`), parent, height: parent.height + 1, has }
      blocks.push(block)
      return block
    }
    const newest = (below: number): Block => blocks[Math.max(0, blocks.length - 1 - below)] ?? genesis

    const report = (index: number, is: string): Operation => {
      const seen = is === 'behind' ? { is, until: 0 } : { is, error: `it was ${is}` }
      return { op: 'settlementReports', reports: [{ task_id: taskOf(index), ...seen } as SettlementReport] }
    }
    const take = (s: Step): void => {
      const one = (which: number): number => done[which % done.length] ?? 0
      switch (s.is) {
        case 'submit':
          return submit()
        case 'complete':
          return complete([...held.keys()][s.which % held.size] ?? -1)
        case 'report':
          for (let i = 0; i < s.times; i++) {
            turn(report(one(s.which), s.seen))
            look()
          }
          return
        case 'block': {
          const wanted = tasks === 0 ? [] : s.has.map(([which, kind]) => [which % tasks, kind] as const)
          const block = grow(newest(s.below), wanted)
          for (let i = 0; i < s.told; i++) announce(block)
          if (s.isTip) tip(block)
          return
        }
        case 'tip':
          return void tip(newest(s.below))
        case 'retry':
          return void turn({ op: 'settlementRetry', task_id: taskOf(one(s.which)) })
        case 'dropped':
          return void turn({ op: 'chainDropped', txids: [txidOf(one(s.which))] })
        case 'gap':
          return void turn({ op: 'chainGap' })
        case 'time':
          time.jump(s.seconds)
          return void turn({ op: 'tick' }, { op: 'settlementsDue', limit: 64 })
        case 'restart':
          core = open()
          return hello()
      }
    }

    /** As it is shown before it has a row. */
    const unopened = (task_id: string) => {
      const [found] = turn({ op: 'settlement', task_id }).outcomes
      return found?.ok === true ? (found.value as SettlementRow) : undefined
    }

    /** What must hold at any time. */
    const look = (): void => {
      const now = new Map(rows.all(prefix, `${prefix}~`).map((row) => [row.task_id, row]))
      for (const [id, row] of now) {
        met.add(row.state)
        const old = before.get(id)
        if (old === undefined) continue
        expect([id, row.payee, row.output_hash]).toEqual([id, old.payee, old.output_hash])
        // What a block tells may lead over mined to confirmed in one turn.
        const isMove =
          old.state === row.state ||
          canSettle(old.state, row.state) ||
          (row.state === 'confirmed' && canSettle(old.state, 'mined'))
        if (!isMove) throw new Error(`${id} was ${old.state} and is ${row.state}`)
      }
      for (const id of before.keys()) if (!now.has(id)) throw new Error(`${id} has lost its settlement`)
      for (const index of done) {
        const row = now.get(taskOf(index)) ?? unopened(taskOf(index))
        if (row === undefined) throw new Error(`${taskOf(index)} has its result and no settlement`)
        expect([row.payee, row.output_hash]).toEqual([PAYEE, hex(`answer ${taskOf(index)}`)])
        const held = row.state === 'posted' || row.state === 'mined' || row.state === 'confirmed'
        if (held) expect(statuses.get(row.task_id)?.status).toBe('submitted')
      }
      const counted: Record<string, number> = Object.fromEntries(
        Object.keys(settlementMoves).map((state) => [state, 0]),
      )
      for (const { state, n } of recount.all()) counted[state] = n
      counted['ready'] = (counted['ready'] ?? 0) + done.filter((index) => !now.has(taskOf(index))).length
      const [stats] = turn({ op: 'stats' }).outcomes
      expect(stats?.ok === true ? (stats.value as { settlements: object }).settlements : null).toEqual(counted)
      before = now
    }

    hello()
    look()
    for (const s of steps) {
      take(s)
      look()
    }
    // In the end another branch wins, which has all of ours, and all blocks of it are told.
    for (const index of [...held.keys()]) complete(index)
    look()
    const highest = Math.max(...blocks.map(({ height }) => height))
    let block = grow(
      genesis,
      done.map((index) => [index, 'ours'] as const),
    )
    announce(block)
    while (block.height <= highest || block.height < genesis.height + chain.confirmations) {
      block = grow(block, [])
      announce(block)
    }
    tip(block)
    for (let i = 0; i < 3; i++) turn({ op: 'tick' })
    look()
    for (const index of done)
      expect([taskOf(index), before.get(taskOf(index))?.state]).toEqual([taskOf(index), 'confirmed'])
    return met
  }
}

const completed = (): Step[] => [{ is: 'submit' }, { is: 'complete', which: 0 }]
const seen = (which: number, what: 'posted' | 'absent' | 'nonce_used' | 'rejected', times = 1): Step => ({ is: 'report', which, seen: what, times }) // prettier-ignore
const mined = (...has: [number, Kind][]): Step => ({ is: 'block', below: 0, has, told: 1, isTip: true })
/** Meets every state. */
const tour: Step[] = [
  ...[0, 1, 2, 3, 4, 5].flatMap(completed),
  seen(0, 'posted'),
  seen(0, 'absent'),
  seen(0, 'posted'),
  seen(0, 'nonce_used', 5),
  seen(1, 'rejected'),
  mined([2, 'replaced'], [3, 'aborted'], [4, 'hijacked'], [5, 'ours']),
  { is: 'restart' },
  mined(),
]

test('whatever happens to settlements, in any order: they move as the table says, are counted, and are confirmed in the end', () => {
  const history = openWorld()
  const met = new Set<SettlementState>()
  fc.assert(
    fc.property(fc.array(step, { minLength: 10, maxLength: 60, size: 'max' }), (steps) => {
      for (const state of history(steps)) met.add(state)
    }),
    { numRuns: Number(process.env['SETTLEMENT_RUNS'] ?? 25), endOnFailure: false, examples: [[tour]] },
  )
  // Every state is met, or this looks at too little.
  expect([...met].sort()).toEqual(Object.keys(settlementMoves).sort())
}, 60_000)
