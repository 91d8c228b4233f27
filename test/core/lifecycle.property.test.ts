import fc from 'fast-check'
import { join } from 'node:path'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { expect, test } from 'vitest'
import { coreOptions, inferenceDefaults } from '../../src/config.js'
import { createCore, type Core } from '../../src/core/engine/core.js'
import type { Effect, Operation, TurnResult } from '../../src/core/operations.js'
import { openDatabase, type OpenedDatabase } from '../../src/store/open.js'
import { createStore } from '../../src/store/store.js'
import { plainTexts } from '../../src/store/task-texts.js'
import { canMove, type TaskStatus } from '../../src/rules/lifecycle.js'
import { createModelTable } from '../../src/rules/models.js'
import { registerBody, submitBody } from '../../src/wire/rest.js'
import * as v from 'valibot'
import { fakeTime } from '../support/fake-time.js'
import { checkFigures } from '../support/figures.js'
import { outcomeOf } from '../support/core-harness.js'
import { FIRST_EPOCH, journalCopy } from '../support/journal-copy.js'
import { recountOf, storedCounts } from '../support/recount.js'
import { checkFairness, strangersWithAttempts, type FairAttempt } from '../support/fairness.js'
import {
  helloOf,
  keyOf,
  MODELS,
  POLLING_NODES,
  SESSION_NODES,
  CRASH_SOON_AFTER_IDLING,
  prefetchOf,
  type Step,
  step,
} from '../support/lifecycle-steps.js'

/**
 * Random sequences of everything that can happen to tasks, against the real core on a real file, with a clock that the
 * test moves. After every step the file must be right.
 */

function createWorld(dir: string) {
  const file = join(dir, 'inference.db')
  const options = coreOptions(
    inferenceDefaults({ database_path: file, max_attempts: 3, starvation_after: 100, max_queue_time: 400 }),
  )
  const time = fakeTime()
  let opened: OpenedDatabase
  let core: Core
  let copy: ReturnType<typeof journalCopy> | null = null
  let sessions = 0
  /** Live sessions by node, and what each node has been given and remembers. */
  const live = new Map<string, number>()
  const given = new Map<string, { task_id: string; attempt: number }[]>()
  /** The same of whoever had the name before. */
  const formerly = new Map<string, { task_id: string; attempt: number }[]>()
  /** How often each name has got into new hands, and under which name each polling node registers by now. */
  const hands = new Map<string, number>()
  const pollNames = [...POLLING_NODES]
  const acknowledged = new Set<string>()
  const outputs = new Map<string, string>()
  /** Nodes that were given something since the last check: those may not hold more than their slots. */
  const filled = new Set<string>()

  const open = (): void => {
    opened = openDatabase(file)
    copy ??= journalCopy(opened.db)
    opened.db.exec(`CREATE TEMP TABLE moves (task_id TEXT, was TEXT, became TEXT);
      CREATE TEMP TRIGGER watch AFTER UPDATE OF status ON main.inference_tasks BEGIN INSERT INTO moves VALUES (old.task_id, old.status, new.status); END`)
    const store = createStore(opened.db, plainTexts, FIRST_EPOCH)
    core = createCore({ store, models: createModelTable(), options, time, random: () => 0.5 })
  }
  const heed = (effects: readonly Effect[]): void => {
    for (const e of effects) {
      const node = [...live].find(([, s]) => s === e.session)?.[0]
      if (node === undefined) continue
      if ('close' in e) live.delete(node)
      else if (e.message.type === 'task.assign') {
        filled.add(node)
        given.set(node, [...(given.get(node) ?? []), { task_id: e.message.task_id, attempt: e.message.attempt }])
      }
    }
  }
  const turn = (...operations: Operation[]): TurnResult => {
    const result = core.turn(operations)
    for (const o of result.outcomes) expect(o).not.toMatchObject({ ok: false, code: 'internal' })
    for (const o of result.outcomes) expect(o).not.toMatchObject({ ok: false, code: 'unavailable' })
    heed(result.effects)
    return result
  }
  const pick = <T>(list: readonly T[], n: number): T => list[n % list.length] as T
  /** The name is in other hands from here on, or will be: what was given to those before is theirs no more. */
  const changeHands = (node: string): void => {
    formerly.set(node, [...(formerly.get(node) ?? []), ...(given.get(node) ?? [])])
    given.delete(node)
    hands.set(node, (hands.get(node) ?? 0) + 1)
  }
  const openOf = (node: string) =>
    opened.db.prepare('SELECT task_id, attempt FROM attempts WHERE node_id = ? AND ended_ms IS NULL').all(node)

  const take = (s: Step): void => {
    switch (s.do) {
      case 'submit': {
        const task_id = `task-${s.id}`
        const body = v.parse(submitBody, {
          task_id,
          user_address: 'ST1',
          user_input: `question ${s.id}`,
          infer_fee: s.id % 4,
          max_infer_time: 30 + (s.id % 3) * 30,
          model_name: pick(MODELS, s.id),
        })
        const { outcomes } = turn({ op: 'submit', tasks: [body] })
        expect(outcomes[0]).toMatchObject({ ok: true, value: [{ ok: true, value: { task_id } }] })
        acknowledged.add(task_id)
        return
      }
      case 'connect': {
        const node = pick(SESSION_NODES, s.node)
        const session = ++sessions
        live.set(node, session)
        const remembered = (given.get(node) ?? []).slice(-s.remembers)
        const hello = helloOf(node, {
          supported_models: [pick(MODELS, s.node), 'llama'],
          max_concurrent_tasks: 1 + (s.node % 3),
          prefetch: prefetchOf(node),
          running: s.remembers === 0 ? [] : remembered,
        })
        // Forgotten or not: once it was proven, its name is for this key only.
        const { effects } = turn({ op: 'nodeHello', from: [], session, hello, key: keyOf(node) })
        // It holds what it named and was kept, and what it was given now; the rest was taken back.
        const said = effects.flatMap((e) => ('message' in e && e.session === session ? [e.message] : []))
        const kept = said.flatMap((m) =>
          m.type === 'session.welcome'
            ? m.resumed
            : m.type === 'task.assign'
              ? [{ task_id: m.task_id, attempt: m.attempt }]
              : [],
        )
        expect(new Set(openOf(node).map((o) => JSON.stringify(o)))).toEqual(new Set(kept.map((k) => JSON.stringify(k))))
        return
      }
      case 'leave': {
        const node = pick(SESSION_NODES, s.node)
        const session = live.get(node)
        live.delete(node)
        if (session !== undefined) turn({ op: 'nodeDisconnected', session, returned: s.returned })
        return
      }
      case 'say': {
        const node = pick(SESSION_NODES, s.node)
        const session = live.get(node)
        if (session === undefined) return
        // Now and then it names what another node was given, what the hands before were given, or an attempt that never was.
        const former = s.lie === 2 ? (formerly.get(node) ?? []) : []
        const mine = s.lie === 0 ? [...given.values()].flat() : former.length > 0 ? former : (given.get(node) ?? [])
        const about = mine.length === 0 ? { task_id: `task-${s.which}`, attempt: 1 } : pick(mine.slice(-4), s.which)
        const named = s.lie === 1 ? { ...about, attempt: about.attempt + 1 } : about
        if (former.length > 0 && s.what === 'complete') {
          const said = { type: 'task.complete' as const, ...named, output: 'garbage', confidence: 1 }
          const { effects } = turn({ op: 'nodeMessage', session, message: said })
          return expect(effects).toMatchObject([{ session, message: { code: 'not_holder' } }])
        }
        switch (s.what) {
          case 'accept':
            return void turn({ op: 'nodeMessage', session, message: { type: 'task.accept', ...named } })
          case 'output':
            return void turn({
              op: 'nodeMessage',
              session,
              message: { type: 'task.output', ...named, seq: 0, delta: 'x', channel: 'text' },
            })
          case 'reject':
            return void turn({ op: 'nodeMessage', session, message: { type: 'task.reject', ...named, reason: 'busy' } })
          case 'complete':
            return void turn({
              op: 'nodeMessage',
              session,
              message: { type: 'task.complete', ...named, output: `by ${node} in ${named.attempt}`, confidence: 1 },
            })
          case 'fail':
          case 'failForGood':
            return void turn({
              op: 'nodeMessage',
              session,
              message: { type: 'task.fail', ...named, error: 'no', retryable: s.what === 'fail' },
            })
        }
        return
      }
      case 'beat': {
        const session = live.get(pick(SESSION_NODES, s.node))
        const status = (['online', 'online', 'busy', 'maintenance'] as const)[s.status]
        if (session !== undefined)
          turn({
            op: 'nodeMessage',
            session,
            message: { type: 'node.heartbeat', ...(status === undefined ? {} : { status }) },
          })
        return
      }
      case 'drain': {
        const session = live.get(pick(SESSION_NODES, s.node))
        if (session !== undefined) turn({ op: 'nodeMessage', session, message: { type: 'session.drain' } })
        return
      }
      case 'poll': {
        const node = pick(pollNames, s.node)
        turn({
          op: 'register',
          from: [],
          node: v.parse(registerBody, {
            node_id: node,
            endpoint: '',
            public_key: `placeholder ${hands.get(node) ?? 0}`,
            supported_models: ['llama', 'mistral'],
            max_concurrent_tasks: 1 + (s.node % 2),
          }),
        })
        const polled = turn({
          op: 'poll',
          node_id: node,
          running: s.running ? (given.get(node) ?? []).map((g) => g.task_id) : null,
        })
        const o = outcomeOf(polled, 'poll')
        if (o?.ok === true && o.value !== null)
          given.set(node, [...(given.get(node) ?? []), { task_id: o.value.task.task_id, attempt: o.value.attempt }])
        filled.add(node)
        return
      }
      case 'rest': {
        const node = pick(pollNames, s.node)
        const former = formerly.get(node) ?? []
        const about = pick(
          [...(given.get(node) ?? []).slice(-4), ...former.slice(-2), { task_id: `task-${s.which}` }],
          s.which,
        )
        if (s.what === 'complete')
          turn({ op: 'complete', task_id: about.task_id, node_id: node, output: `by ${node}`, confidence: 0.5 })
        else turn({ op: 'fail', task_id: about.task_id, node_id: node, error: 'no', retryable: true })
        return
      }
      case 'forget': {
        const node = pick([...SESSION_NODES, ...pollNames], s.node)
        const holds = openOf(node).length > 0
        const { outcomes } = turn({ op: 'forget', node_id: node })
        if (outcomes[0]?.ok === true) {
          expect(holds, `${node} was forgotten and held something`).toBe(false)
          changeHands(node)
          live.delete(node)
        }
        return
      }
      case 'takeOver': {
        const node = pick(pollNames, s.node)
        const held = openOf(node)
        const session = ++sessions
        const running = (given.get(node) ?? []).slice(-3)
        const { effects } = turn({
          op: 'nodeHello',
          from: [],
          session,
          hello: helloOf(node, { running, status: 'maintenance' }),
          key: keyOf(node, session),
        })
        const welcome = effects.flatMap((e) =>
          'message' in e && e.message.type === 'session.welcome' ? [e.message] : [],
        )[0]
        if (welcome === undefined) return
        expect(held, `${node} was taken over and held something`).toEqual([])
        expect(welcome.resumed).toEqual([])
        // It has proven a key: everything over REST is refused in its name from here on.
        changeHands(node)
        turn({ op: 'nodeDisconnected', session, returned: true })
        pollNames[pollNames.indexOf(node)] = `${node}'`
        return
      }
      case 'wait':
        for (let left = s.ms; left > 0; left -= 1000) {
          time.jump(Math.min(left, 1000) / 1000)
          // Sessions beat, so that only what the steps say ends them.
          turn(...[...live.values()].map((session): Operation => ({ op: 'nodeSeen', session })), { op: 'tick' })
        }
        return
      case 'restart':
        live.clear()
        if (!s.crash) core.close()
        opened.close()
        time.jump(3600) // an hour of down time moves no deadline
        open()
    }
  }

  const check = (): void => {
    const { db } = opened
    // What is left of a long look for work: the turns of this check would do it, behind what was read.
    for (let i = 0; turn({ op: 'tick' }).wakeIn === 0; i++) expect(i).toBeLessThan(1000)
    const rows = db
      .prepare<
        [],
        {
          task_id: string
          status: TaskStatus
          output: string | null
          attempt: number
          model_key: string
          model_type: string
        }
      >('SELECT * FROM inference_tasks')
      .all()
    const attempts = db
      .prepare<
        [],
        {
          task_id: string
          attempt: number
          node_id: string
          ended_ms: number | null
          end: string | null
          accepted_ms: number | null
        } & FairAttempt
      >('SELECT * FROM attempts')
      .all()
    expect(strangersWithAttempts(db)).toEqual([])
    copy?.follow(db)
    for (const m of db
      .prepare<[], { task_id: string; was: TaskStatus; became: TaskStatus }>('SELECT * FROM moves')
      .all()) {
      expect(canMove(m.was, m.became), `${m.task_id}: ${m.was} -> ${m.became}`).toBe(true)
    }
    db.exec('DELETE FROM moves')
    // Nothing acknowledged is missing, and nothing else is there.
    expect(new Set(rows.map((r) => r.task_id))).toEqual(acknowledged)
    const recount = recountOf(rows)
    expect(storedCounts(db)).toEqual(recount)
    const stats = core.turn([{ op: 'stats' }]).outcomes[0]
    expect(stats).toMatchObject({ ok: true, value: { tasks: recount } })
    checkFigures(core, db)
    for (const r of rows) {
      const own = attempts.filter((a) => a.task_id === r.task_id)
      expect(own.filter((a) => a.ended_ms === null).length, `open attempts of ${r.task_id}, ${r.status}`).toBe(
        r.status === 'in_progress' ? 1 : 0,
      )
      expect(own.filter((a) => a.end === 'completed').length, `results of ${r.task_id}`).toBe(
        r.status === 'completed' ? 1 : 0,
      )
      expect(own.map((a) => a.attempt).sort((a, b) => a - b)).toEqual(
        Array.from({ length: r.attempt }, (_, i) => i + 1),
      )
      expect(own.filter((a) => a.accepted_ms !== null).length).toBeLessThanOrEqual(3)
      checkFairness(r, own)
      // A result never changes.
      if (outputs.has(r.task_id)) expect(r.output).toBe(outputs.get(r.task_id))
      if (r.output !== null) outputs.set(r.task_id, r.output)
      expect(r.output !== null).toBe(r.status === 'completed')
    }
    // Slots are never exceeded, and none is idle that could serve a task nobody has tried.
    const nodes = outcomeOf(core.turn([{ op: 'nodes', after: null, limit: 1000 }]), 'nodes')
    if (nodes?.ok !== true) throw new Error('no nodes')
    for (const n of nodes.value.nodes) {
      const held = attempts.filter((a) => a.node_id === n.row.node_id && a.ended_ms === null).length
      expect(n.in_progress_tasks).toBe(held)
      // A hello may lower the slots under what is held; then nothing is added.
      if (filled.has(n.row.node_id))
        expect(held, n.row.node_id).toBeLessThanOrEqual(n.row.max_concurrent_tasks + prefetchOf(n.row.node_id))
      if (n.status === 'online' && n.row.transport === 'websocket') {
        const lanes = createModelTable().lanesOfNode(n.models)
        const idle = rows.filter(
          (r) =>
            r.status === 'pending' &&
            r.attempt === 0 &&
            (lanes.includes(`name:${r.model_key}`) || lanes.includes(`family:${r.model_type}`)),
        )
        expect(
          idle.map((r) => r.task_id),
          `waiting although ${n.row.node_id} has a free slot`,
        ).toEqual([])
      }
    }
    filled.clear()
  }
  open()
  return { take, check, close: () => (copy?.follow(opened.db), copy?.endsLike(opened.db), opened.close()) }
}

test('whatever happens, every task is in one right state, has at most one result, and is never lost', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 5, maxLength: 80, size: 'max' }), (steps) => {
      const dir = mkdtempSync(join(tmpdir(), 'inference-'))
      const world = createWorld(dir)
      try {
        for (const s of steps) {
          world.take(s)
          world.check()
        }
      } finally {
        world.close()
        rmSync(dir, { recursive: true, force: true })
      }
    }),
    { numRuns: Number(process.env['PROPERTY_RUNS'] ?? 60), examples: [[CRASH_SOON_AFTER_IDLING]] },
  )
}, 120_000)
