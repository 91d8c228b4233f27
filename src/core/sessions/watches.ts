import type { UndoLog } from '../../lib/undo-log.js'
import { SealedTextError } from '../../lib/sealed-text.js'
import type { TaskResult } from '../../store/tasks.js'
import type { TaskStatus } from '../../rules/lifecycle.js'
import type { ClientAnswer } from '../../wire/client-answers.js'
import type { OutputChannel } from '../../wire/node.js'
import type { WatchHooks } from '../context.js'
import { readNotes } from '../../wire/result-notes.js'
import { createOwners, createSharedPot, type Owner } from './shared-pot.js'
import { createStreamBuffers, textFrom } from './stream-buffers.js'

/** The most tasks one session may watch. */
export const MAX_WATCHES = 10_000
/** The most watches of all sessions together. */
const MAX_ALL_WATCHES = 1_000_000
/** What the stream buffers of all attempts may take together. */
const MAX_BUFFER_BYTES = 64 * 1024 * 1024

/** Whose share a text is of that nobody reads yet. */
const NOBODY: Owner = [{ key: 'nobody', times: 1 }]

const UNREADABLE = 'the result of this task cannot be read; the operator of the service finds the cause in the log'

/** A place in a text: the attempt whose it is, and UTF-16 units. */
interface Place {
  attempt: number
  offset: number
}
/** What one session wants of one task, and how much of its text it has. */
interface Watch extends Place {
  output: boolean
  /** The same of what the model thinks before it answers. */
  reasoned: number
  /** Whether its session may read texts. */
  texts: boolean
  /** Whose share it is of: kept here, because that of a session that has ended is known no more. */
  owner: Owner
}

export interface WatchParts {
  /** @throws SealedTextError */
  task(taskId: string): TaskResult | undefined
  /** Told of a task whose result cannot be read from the file. */
  onUnreadable(taskId: string, error: string): void
  send(session: number, message: ClientAnswer): void
  undo: UndoLog
  /** The longest text that is kept of an attempt, in UTF-16 units. */
  maxOutput: number
}

export type Watches = ReturnType<typeof createWatches>

/**
 * Who watches which task, in memory only: who comes back watches again. While nothing is watched it costs nothing. What a turn
 * changes here is undone with the turn, and what it publishes is an effect like every other: durable first.
 */
export function createWatches({ task, onUnreadable, send, undo, maxOutput }: WatchParts) {
  /** The watches of each task, by session. */
  const watched = new Map<string, Map<number, Watch>>()
  /** The tasks of each session. */
  const tasksOf = new Map<number, Set<string>>()
  const owners = createOwners()
  const places = createSharedPot(MAX_ALL_WATCHES, undo)
  const buffers = createStreamBuffers(maxOutput, createSharedPot(MAX_BUFFER_BYTES, undo), undo)
  /** What this turn did to watched tasks; only the last of each counts. */
  const changes = new Map<string, { status: TaskStatus; attempt: number | null }>()

  const change = (session: number, taskId: string, watch: Watch | undefined): void => {
    const before = watched.get(taskId)?.get(session)
    if (before === watch) return
    if (watch !== undefined) {
      if (before === undefined) places.take(watch.owner, 1)
      const sessions = getOrCreate(watched, taskId, () => new Map<number, Watch>())
      undo.keepEntry(sessions, session)
      sessions.set(session, watch)
      const tasks = getOrCreate(tasksOf, session, () => new Set<string>())
      undo.keepMember(tasks, taskId)
      tasks.add(taskId)
      return
    }
    if (before !== undefined) places.take(before.owner, -1)
    const sessions = watched.get(taskId)
    if (sessions !== undefined) {
      undo.keepEntry(sessions, session)
      sessions.delete(session)
      if (sessions.size === 0) remove(watched, taskId)
    }
    const tasks = tasksOf.get(session)
    if (tasks === undefined) return
    undo.keepMember(tasks, taskId)
    tasks.delete(taskId)
    if (tasks.size === 0) remove(tasksOf, session)
  }
  const remove = <K>(map: Map<K, unknown>, key: K): void => {
    undo.keepEntry(map, key)
    map.delete(key)
  }
  const getOrCreate = <K, V>(map: Map<K, V>, key: K, make: () => V): V => {
    let found = map.get(key)
    if (found === undefined) {
      undo.keepEntry(map, key)
      found = make()
      map.set(key, found)
    }
    return found
  }

  /** Sends what the session does not have of a text. */
  const catchUp = (session: number, taskId: string, watch: Watch): void => {
    const text = buffers.get(taskId)
    if (text === undefined || text.next === null) return
    const isSame = watch.attempt === text.attempt
    const thought = textFrom(text.reasoning, isSame ? watch.reasoned : 0)
    if (thought !== null) move(session, taskId, watch, { attempt: text.attempt, channel: 'reasoning', ...thought })
    const piece = textFrom(text.text, isSame ? watch.offset : 0)
    if (piece !== null) move(session, taskId, watch, { attempt: text.attempt, channel: 'text', ...piece })
  }
  const move = (
    session: number,
    taskId: string,
    watch: Watch,
    { attempt, channel, offset, delta }: { attempt: number; channel: OutputChannel; offset: number; delta: string },
  ): void => {
    undo.keep(watch)
    if (watch.attempt !== attempt) watch.offset = watch.reasoned = 0
    watch.attempt = attempt
    const piece = { type: 'task.output', task_id: taskId, attempt, offset, delta } as const
    if (channel === 'text') {
      watch.offset = offset + delta.length
      return send(session, piece)
    }
    watch.reasoned = offset + delta.length
    send(session, { ...piece, channel })
  }

  const wantsOutput = (taskId: string): boolean => {
    if (watched.size === 0) return false
    for (const watch of watched.get(taskId)?.values() ?? []) if (watch.output) return true
    return false
  }
  function* readersOf(taskId: string): Generator<Owner> {
    for (const { output, owner } of watched.get(taskId)?.values() ?? []) if (output) yield owner
  }

  /** What is said of a task at the end of a turn: one that cannot be read must not undo what others have done in it. */
  const messageFor = (taskId: string, attempt: number | null): ClientAnswer | null => {
    try {
      const found = task(taskId)
      return found === undefined ? null : answerOf(found, attempt)
    } catch (error) {
      if (!(error instanceof SealedTextError)) throw error
      onUnreadable(taskId, error.message)
      return { type: 'error', code: 'internal', message: UNREADABLE, task_id: taskId }
    }
  }

  const hooks: WatchHooks = {
    changed(taskId, status, attempt) {
      if (status !== 'in_progress' && buffers.size() > 0) buffers.end(taskId)
      if (watched.size === 0 || !watched.has(taskId)) return
      undo.keepEntry(changes, taskId)
      changes.set(taskId, { status, attempt })
    },
    streams(taskId, attempt) {
      if (!wantsOutput(taskId)) return false
      buffers.begin(taskId, attempt, readersOf(taskId))
      return true
    },
    output({ task_id: taskId, attempt, seq, delta, channel }) {
      // Nobody wanted it when it was assigned; who comes later gets all of it.
      if (seq === 0 && buffers.get(taskId)?.attempt !== attempt)
        buffers.begin(taskId, attempt, [...readersOf(taskId), NOBODY])
      const text = buffers.add(taskId, attempt, seq, delta, channel)
      if (text === null) return
      const offset = (channel === 'text' ? text.text : text.reasoning).length - delta.length
      for (const [session, watch] of watched.get(taskId) ?? []) {
        if (!watch.output) continue
        // Who has all that came before gets the piece as it is: to look into the text would join its pieces every time.
        if (watch.attempt === attempt && (channel === 'text' ? watch.offset : watch.reasoned) === offset)
          move(session, taskId, watch, { attempt, channel, offset, delta })
        else catchUp(session, taskId, watch)
      }
    },
  }

  return {
    ...hooks,

    /**
     * Why the session may not watch this task too; null when it may.
     * @param taskId null: of a task to be
     * @param more how many watches it is about to take besides
     */
    refusal(
      session: number,
      taskId: string | null,
      more: number,
    ): { code: 'rate_limited' | 'unavailable'; message: string } | null {
      const tasks = tasksOf.get(session)
      if (taskId !== null && tasks?.has(taskId) === true) return null
      if ((tasks?.size ?? 0) + more >= MAX_WATCHES)
        return {
          code: 'rate_limited',
          message: `this session watches ${MAX_WATCHES} tasks, the most one may; wait for some to end, or watch fewer`,
        }
      const holder = places.refusal(owners.of(session), more + 1)
      if (holder === 'address')
        return {
          code: 'rate_limited',
          message: `the sessions of your address watch ${places.share} tasks together, the most they may; wait for some to end, or watch fewer`,
        }
      if (holder === 'service')
        return {
          code: 'unavailable',
          message: `the service keeps ${MAX_ALL_WATCHES} watches, the most it does; watch again later`,
        }
      return null
    },

    /** From here on the session is told of the task, from this place in its text on. @param texts whether it may read them */
    watch(session: number, taskId: string, output: boolean, from: Place, texts = true): void {
      const text = buffers.get(taskId)
      // Who has some of the answer has read what came before it.
      const reasoned = from.offset > 0 && text?.attempt === from.attempt ? text.reasoning.length : 0
      const watch = { output: output && texts, ...from, reasoned, texts, owner: owners.of(session) }
      change(session, taskId, watch)
      if (watch.output) catchUp(session, taskId, watch)
    },

    unwatch(session: number, taskId: string): void {
      if (tasksOf.get(session)?.has(taskId) === true) change(session, taskId, undefined)
    },

    /** A session has begun. @param from who its address counts as */
    join: owners.join,

    /** The session has ended. */
    leave(session: number): void {
      for (const taskId of [...(tasksOf.get(session) ?? [])]) change(session, taskId, undefined)
      owners.leave(session)
    },

    /** The last of a turn before its commit: tells what it changed. */
    publish(): void {
      if (changes.size === 0) return
      for (const [taskId, { status, attempt }] of changes) {
        const sessions = watched.get(taskId)
        if (sessions === undefined) continue
        const message =
          status === 'in_progress' && attempt !== null
            ? statusMessage({ task_id: taskId, status, attempt })
            : messageFor(taskId, attempt)
        if (message === null) continue
        for (const [session, { texts }] of [...sessions]) {
          send(session, texts ? message : withoutTexts(message))
          if (message.type !== 'task.status') change(session, taskId, undefined)
        }
      }
      changes.clear()
    },
  }
}

type Told<T> = Extract<ClientAnswer, { type: T }>
const statusMessage = ({ task_id, status, attempt }: Omit<Told<'task.status'>, 'type'>): Told<'task.status'> => ({
  type: 'task.status',
  task_id,
  status,
  attempt,
})

/** What is told of a task to who may read no texts: how it ended, without the output and without what a node said. */
export const withoutTexts = (message: ClientAnswer): ClientAnswer =>
  message.type === 'task.result' ? { ...message, result: null, error: null } : message

/** What there is to say of a task: its result, or where it stands. @param from the attempt that its result is of, where that is known */
export function answerOf(task: TaskResult, from: number | null = null): Told<'task.status' | 'task.result'> {
  const { task_id, status, attempt, error } = task
  if (status === 'pending' || status === 'in_progress') return statusMessage({ task_id, status, attempt })
  const result =
    task.output === null
      ? null
      : {
          output: task.output,
          confidence: task.confidence,
          completed_at: task.completed_at,
          inference_node_id: task.inference_node_id,
          ...readNotes(task.result_notes),
        }
  return {
    type: 'task.result',
    task_id,
    status,
    result,
    error,
    ...(from === null || result === null ? {} : { attempt: from }),
    ...(task.error_code === null ? {} : { code: task.error_code }),
  }
}
