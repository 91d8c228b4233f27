import { setTimeout as sleep } from 'node:timers/promises'
import type { ChainRpc } from '../chain/rpc/chain-rpc.js'
import type { Operation } from '../core/operations.js'
import type { DueSettlement, DueWork, SettlementReport } from '../core/settlement/reports.js'
import type { Scheduler } from '../core/engine/scheduler.js'
import type { TimeSource } from '../lib/clock.js'
import type { Logger } from '../lib/log.js'
import { createWaker } from '../lib/waker.js'
import { inspect, post, transactionOf, type Seen } from './inspect.js'

/** How many settlements one pass takes, and how many accounts are served at once. */
const BATCH = 64
const PARALLEL = 8
/** How long it waits at most while the node does not answer, ms: it is tried by one settlement only. */
const PAUSE_MS = { least: 500, most: 30_000 }

export interface RelayParts {
  rpc: ChainRpc
  call: Scheduler['call']
  time: TimeSource
  log: Logger
  /** How often the tip is looked at, ms. */
  pollInterval: number
}

export type Relay = ReturnType<typeof createRelay>

/**
 * Carries settlements on: posts what is ready, looks what became of what was posted, and tells the core what it has seen. All
 * state is the core's; after a restart it goes on with what is due there.
 */
export function createRelay({ rpc, call, time, log, pollInterval }: RelayParts) {
  let stopping = false
  let running: Promise<void> | null = null
  let nextTip = 0
  let failures = 0
  let problem: string | null = null
  /** It answers again: what waits for its next try need not wait as long as before. */
  let isBack = false
  const ended = new AbortController()

  const waker = createWaker()
  const { wake } = waker

  const answered = (): void => {
    if (problem !== null) {
      isBack = true
      log.info({ event: 'chain.reached' }, 'the node of the chain answers again')
    }
    failures = 0
    problem = null
  }
  const unreachable = (message: string): void => {
    failures++
    if (problem === null) log.warn({ event: 'chain.unreachable', error: message }, message)
    problem = message
  }

  const lookAtTip = async (): Promise<void> => {
    nextTip = time.monotonic() + pollInterval
    const info = await rpc.info()
    if (info.is === 'unreachable') return unreachable(info.message)
    answered()
    const tip = { index_block_hash: info.indexBlockHash, height: info.tipHeight, burn_height: info.burnHeight }
    await call({ op: 'chainTip', tip })
  }

  const one = async (row: DueSettlement, isPost: boolean): Promise<Seen> => {
    const { task_id } = row
    const rejected = (error: string): Seen => ({ report: { task_id, is: 'rejected', error }, unreachable: false })
    const texts = await call({ op: 'settlementTexts', task_id })
    if (!texts.ok) return { report: { task_id, is: 'later', error: texts.message }, unreachable: false }
    if (texts.value === null) return rejected('its task has no transaction, or no result')
    const ours = transactionOf(row, texts.value.signed_tx)
    if (ours === null) return rejected('the node that did it had no key that could be paid')
    return isPost ? post(rpc, row, ours, texts.value.output) : inspect(rpc, row, ours)
  }

  /** @returns whether the node of the chain answered */
  const pass = async (work: DueWork): Promise<boolean> => {
    const reports: SettlementReport[] = work.behind.map(({ task_id, until }) => ({ task_id, is: 'behind', until }))
    let down = false
    // Those of one account go one after the other, each only when the one before it was taken.
    const lines = [
      ...work.post.map((rows) => ({ rows, isPost: true })),
      ...work.look.map((row) => ({ rows: [row], isPost: false })),
    ]
    const serve = async (): Promise<void> => {
      for (let line = lines.shift(); line !== undefined && !down; line = lines.shift()) {
        for (const row of line.rows) {
          if (down || ended.signal.aborted) return
          const { report, unreachable: away } = await one(row, line.isPost)
          if (ended.signal.aborted) return // what our own end has cut says nothing
          reports.push(report)
          if (away) {
            down = true
            unreachable(report.is === 'later' ? report.error : 'the node of the chain does not answer')
          } else answered()
          if (line.isPost && report.is === 'later') break
        }
      }
    }
    await Promise.all(Array.from({ length: PARALLEL }, serve))
    if (reports.length > 0) await call({ op: 'settlementReports', reports })
    return !down
  }

  const work = async (): Promise<DueWork | null> => {
    const due = await call({ op: 'settlementsDue', limit: BATCH } satisfies Operation)
    return due.ok ? due.value : null
  }

  const run = async (): Promise<void> => {
    while (!stopping) {
      waker.calm()
      try {
        if (time.monotonic() >= nextTip) await lookAtTip()
        if (isBack) {
          isBack = false
          await call({ op: 'chainGap' })
        }
        const due = await work()
        const isIdle = due === null || (due.post.length === 0 && due.look.length === 0 && due.behind.length === 0)
        const reached = isIdle || (await pass(due))
        const away = !reached || problem !== null
        const untilTip = nextTip - time.monotonic()
        if (away) {
          const backoff = Math.min(PAUSE_MS.most, pollInterval, PAUSE_MS.least * 2 ** Math.min(failures, 10))
          waker.calm() // what is new cannot be posted either
          await waker.pause(Math.max(PAUSE_MS.least / 10, backoff))
        } else if (isIdle) await waker.pause(Math.min(untilTip, due?.nextIn ?? Infinity))
      } catch (error) {
        log.error({ event: 'relay.failed', err: error }, 'a pass of the relay has failed; the next goes on')
        await waker.pause(pollInterval)
      }
    }
  }

  return {
    start(): void {
      running ??= run()
    },
    /** Something is due. */
    wake,
    /** The chain has changed: look at its tip now. */
    tipChanged(): void {
      nextTip = 0
      wake()
    },
    /** Events were missed: everything that is open has to be looked at. */
    reconcile(): void {
      nextTip = 0
      void call({ op: 'chainGap' }).then(wake)
    },
    /** What an operator should know; null when the node of the chain answers. */
    warning: (): string | null =>
      problem === null ? null : `the chain cannot be reached, and nothing is refused for it: ${problem}`,
    /** Ends what it does: the pass that runs gets so many ms. What it has not told is due again at the next start. */
    async stop(ms: number): Promise<void> {
      stopping = true
      waker.stop()
      if (running === null) return rpc.close()
      await Promise.race([running, sleep(ms, undefined, { ref: false })])
      ended.abort()
      await rpc.close()
      await running
    },
  }
}
