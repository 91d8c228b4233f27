import type { Caller } from '../core/access/caller.js'
import type { Effect, Operation } from '../core/operations.js'
import type { AddressKeys } from '../lib/address.js'
import type { Logger } from '../lib/log.js'
import type { ClientAnswer } from '../wire/client-answers.js'
import type { ClientSubmission } from '../wire/client.js'
import type { Submission } from '../wire/rest.js'

export interface WatchersParts {
  /** An operation, of who counts as these. */
  send: (operation: Operation, from?: AddressKeys) => void
  /** Another number each time: watchers and sessions share them. */
  nextSession: () => number
  log: Pick<Logger, 'error'>
  /** Whether who asked may still ask: his token may have been revoked. */
  isGood: (by: Caller) => boolean
}

/** How often it is looked whether everybody may still watch, ms. */
const CHECK_EVERY_MS = 1000

/** What is told to watchers in one turn of the event loop, ms: a piece of text for a thousand of them takes longer. */
const TELL_MS = 4

/** Who watches, and what is done with what is said. */
export interface WatcherParts {
  by: Caller
  keys: AddressKeys
  /** A word of the core. */
  on(message: ClientAnswer): void
  /** The service stops, or who asked may ask no more: nothing more is said. */
  onStop(): void
}

export type Watchers = ReturnType<typeof createWatchers>
export type Watcher = ReturnType<Watchers['open']>

interface Watching extends WatcherParts {
  /** What it has not been told yet, in order. */
  untold: ClientAnswer[]
}

/** Two pieces of one text as one, where the second goes on with the first; else null. */
export function joinPieces(before: ClientAnswer | undefined, next: ClientAnswer): ClientAnswer | null {
  if (before?.type !== 'task.output' || next.type !== 'task.output') return null
  const goesOn =
    before.task_id === next.task_id &&
    before.attempt === next.attempt &&
    before.channel === next.channel &&
    before.offset + before.delta.length === next.offset
  return goesOn ? { ...before, delta: before.delta + next.delta } : null
}

/** What a watcher calls its one submission. */
const REF = 'submission'

/**
 * Sessions of submitters without a socket: who waits over REST for a task, or is told its words as they come. The core does not know
 * them from others, so that there is one way to watch.
 */
export function createWatchers({ send, nextSession, log, isGood }: WatchersParts) {
  const open = new Map<number, Watching>()
  /** Those that are to be told something, in order. */
  const line = new Set<number>()
  let isTelling = false
  let isStopping = false

  const tell = (session: number): void => {
    const watcher = open.get(session)
    if (watcher === undefined) return
    const { untold } = watcher
    watcher.untold = []
    try {
      for (const message of untold) if (open.has(session)) watcher.on(message)
    } catch (error) {
      log.error({ err: error, session }, 'a watcher has failed; the others go on')
    }
  }
  /** Who waits in the line while many are told gets the pieces that have come meanwhile as one, so that the line stays short. */
  const tellLine = (): void => {
    const began = performance.now()
    for (const session of line) {
      line.delete(session)
      tell(session)
      if (performance.now() - began >= TELL_MS) break
    }
    isTelling = line.size > 0
    if (isTelling) setImmediate(tellLine)
  }
  const checks = setInterval(() => {
    for (const watcher of [...open.values()]) if (!isGood(watcher.by)) watcher.onStop()
  }, CHECK_EVERY_MS).unref()

  return {
    open(parts: WatcherParts) {
      const { by, keys } = parts
      const session = nextSession()
      open.set(session, { ...parts, untold: [] })
      if (keys.length > 0) send({ op: 'clientConnected', session, from: keys })
      if (isStopping) setImmediate(() => open.has(session) && parts.onStop())
      return {
        /** Stores a task and watches it: answered by `task.submitted`, or by an error. */
        submit(task: Submission, watch: ClientSubmission['watch']): void {
          send({ op: 'clientSubmissions', session, list: [{ type: 'task.submit', ref: REF, watch, task }], by }, keys)
        },
        /** @param from where in its text, in UTF-16 units */
        watch(task_id: string, watch: 'result' | 'output', from = { attempt: 0, offset: 0 }): void {
          const attempt = from.attempt === 0 ? null : from.attempt
          const message = { type: 'task.watch', task_id, watch, attempt, offset: from.offset } as const
          send({ op: 'clientMessage', session, message, events: watch === 'output', by }, keys)
        },
        cancel(task_id: string): void {
          send({ op: 'clientMessage', session, message: { type: 'task.cancel', task_id }, by }, keys)
        },
        end(): void {
          if (open.delete(session)) send({ op: 'clientDisconnected', session })
        },
      }
    },

    /** What a turn has to say to them. */
    deliver(effects: readonly Effect[]): void {
      if (open.size === 0) return
      for (const effect of effects) {
        const watcher = 'message' in effect ? open.get(effect.session) : undefined
        if (watcher === undefined || !('message' in effect)) continue
        const message = effect.message as ClientAnswer // it is no node's session
        const joined = isTelling ? joinPieces(watcher.untold.at(-1), message) : null
        if (joined === null) watcher.untold.push(message)
        else watcher.untold[watcher.untold.length - 1] = joined
        line.add(effect.session)
      }
      if (!isTelling) tellLine()
    },

    size: (): number => open.size,

    /** The service stops. */
    stop(): void {
      isStopping = true
      clearInterval(checks)
      for (const session of line) tell(session)
      line.clear()
      for (const watcher of [...open.values()]) watcher.onStop()
    },
  }
}
