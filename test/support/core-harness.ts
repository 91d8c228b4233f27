import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import * as v from 'valibot'
import { coreOptions, inferenceDefaults, type ServiceConfig } from '../../src/config.js'
import type { ChainOptions } from '../../src/core/context.js'
import type { Outcome } from '../../src/lib/result.js'
import type { AddressKeys } from '../../src/lib/address.js'
import { createCore } from '../../src/core/engine/core.js'
import type { Effect, Operation, Results, TurnResult } from '../../src/core/operations.js'
import { openDatabase } from '../../src/store/open.js'
import { createStore } from '../../src/store/store.js'
import { createModelTable } from '../../src/rules/models.js'
import { nodeMessages, type Assignment } from '../../src/wire/node.js'
import { registerBody, submitBody } from '../../src/wire/rest.js'
import { fakeTime } from './fake-time.js'
import { calm } from './service.js'
import { tempDir } from './temp-dir.js'

/** The core on a real file, turn by turn, with a clock that the test moves. */
export function coreHarness(
  settings: Partial<ServiceConfig['inference']> = {},
  chain: ChainOptions | null = null,
  callbacks = false,
) {
  const database_path = join(tempDir(), 'inference.db')
  const opened = openDatabase(database_path)
  // What a power cut takes is another test's; here nobody waits for the disk.
  opened.db.pragma('synchronous = OFF')
  onTestFinished(() => opened.close())
  const time = fakeTime()
  const store = createStore(opened.db)
  /** What the next commits do instead of committing. */
  let failing: (() => void) | null = null
  /** What looking at the write-ahead log does instead. */
  let walFailing: (() => never) | null = null
  const core = createCore({
    store: {
      ...store,
      wal: {
        ...store.wal,
        bytes: () => (walFailing === null ? store.wal.bytes() : Number.MAX_SAFE_INTEGER),
        empty: () => (walFailing === null ? store.wal.empty() : walFailing()),
      },
      commit() {
        if (failing !== null) failing()
        return store.commit()
      },
    },
    models: createModelTable(),
    options: coreOptions(inferenceDefaults({ ...calm, ...settings, database_path }), chain, callbacks),
    time,
    random: () => 0.5,
  })
  const turn = (...operations: Operation[]): TurnResult => core.turn(operations)
  return {
    db: opened.db,
    file: database_path,
    time,
    turn,
    submit: (n: number, more: Record<string, unknown> = {}) =>
      turn({
        op: 'submit',
        tasks: Array.from({ length: n }, () =>
          v.parse(submitBody, {
            user_address: 'ST1',
            user_input: 'q',
            infer_fee: 1,
            max_infer_time: 600,
            model_name: 'llama',
            ...more,
          }),
        ),
      }),
    /** Many well-paid tasks of one model and a badly paid one of another, in one turn. */
    submitMixed: (n: number) => {
      const one = (model_name: string, infer_fee: number) =>
        v.parse(submitBody, { user_address: 'ST1', user_input: 'q', infer_fee, max_infer_time: 600, model_name })
      return turn(
        { op: 'submit', tasks: Array.from({ length: n }, () => one('llama', 10)) },
        { op: 'submit', tasks: [one('gemma', 1)] },
      )
    },
    hello: (session: number, node_id: string, slots: number, from: AddressKeys = []): Operation => ({
      op: 'nodeHello',
      from,
      session,
      key: `02${Buffer.from(node_id).toString('hex').padEnd(64, '0')}`,
      hello: v.parse(nodeMessages['session.hello'], {
        type: 'session.hello',
        node_id,
        public_key: 'k',
        signature: 's',
        supported_models: ['llama'],
        max_concurrent_tasks: slots,
      }),
    }),
    register: (node_id: string, from: AddressKeys = []): Operation => ({
      op: 'register',
      from,
      node: v.parse(registerBody, { node_id, endpoint: '', public_key: 'placeholder', supported_models: ['llama'] }),
    }),
    /** Time passes while nothing happens: only the clock is read. */
    idles(seconds: number) {
      for (let left = seconds; left > 0; left -= 2) {
        time.jump(Math.min(2, left))
        turn({ op: 'stats' })
      }
    },
    /** The core that a start after a kill has, on the same file. */
    restarted: () =>
      createCore({
        store: createStore(opened.db),
        models: createModelTable(),
        options: coreOptions(inferenceDefaults({ ...calm, ...settings, database_path }), chain, callbacks),
        time,
      }),
    /** The machine was suspended: the service's own time has stood still. */
    wakesUpAfter: (seconds: number) => time.jump(seconds),
    /** Time passes, in steps that the clock takes for the service's own time. @returns what was sent meanwhile */
    passes(ms: number): Effect[] {
      const effects: Effect[] = []
      for (let left = ms; left > 0; left -= 1000) {
        time.jump(Math.min(1000, left) / 1000)
        effects.push(...turn({ op: 'tick' }).effects)
      }
      return effects
    },
    /** Ticks as often as the core asks for without time passing, at most `n` times. */
    wakes(n: number): Effect[] {
      const effects: Effect[] = []
      for (let i = 0; i < n; i++) {
        time.jump(0.02)
        effects.push(...turn({ op: 'tick' }).effects)
      }
      return effects
    },
    walFails(how: (() => never) | null) {
      walFailing = how
    },
    commitsFail(how: (() => void) | null) {
      failing = how
    },
  }
}

export const assigned = (effects: readonly Effect[]): (Assignment & { session: number })[] =>
  effects.flatMap((e) =>
    'message' in e && e.message.type === 'task.assign' ? [{ ...e.message, session: e.session }] : [],
  )

/** A disk that has no room. */
export const diskFull = (): never => {
  throw Object.assign(new Error('database or disk is full'), { code: 'SQLITE_FULL' })
}

/** The outcome of the one operation of a turn, as that operation has it. */
export const outcomeOf = <Name extends Operation['op']>({ outcomes }: TurnResult, _op: Name) =>
  outcomes[0] as Outcome<Results[Name]> | undefined
