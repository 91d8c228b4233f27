import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import type { SubmissionStep } from '../chain/preparation.js'
import type { Scheduler } from '../core/engine/scheduler.js'
import type { AddressKeys } from '../lib/address.js'
import { toSeconds, type TimeSource } from '../lib/clock.js'
import { createRate } from '../lib/rate.js'
import type { Remote } from '../door/remote.js'
import type { Identified } from '../door/who.js'
import { clientCode, MAX_IN_FLIGHT, type ClientAnswer, type ClientServerMessage } from '../wire/client-answers.js'
import { parseClientMessage, refOf } from '../wire/client.js'
import type { TimeShares } from '../lib/time-shares.js'
import type { Frame, ServerMessage } from '../wire/node.js'
import { createClientAccess, MAX_NAMELESS_BYTES, type SessionAccess } from './client-access.js'
import { FrameLine } from './frame-line.js'
import { createClientRequests, type WatchGate } from './client-requests.js'
import type { Guard } from './guard.js'
import { BYTES_A_MESSAGE, MAX_MISTAKES, type SocketSession } from './session.js'
import { createOutgoing } from './socket-writer.js'
import type { Unsent } from './unsent.js'

/** What may wait for a submitter that does not read, in bytes: with more it has to read on, with `hard` it is closed. */
const UNSENT = { soft: 16 * 1024 * 1024, hard: 64 * 1024 * 1024 }
const TOO_SLOW = 'too much waits to be read; read faster, or watch fewer tasks at once'

/** What all sessions of submitters have in common. */
export interface ClientDoor {
  /** Told of each submission that was refused. */
  onRefused?: (code: string) => void
  send: Scheduler['send']
  time: TimeSource
  maxMessageBytes: number
  maxMessagesPerSecond: number
  gate: WatchGate
  unsent: Unsent
  shares: TimeShares
  guard: Guard
  access: SessionAccess
  /** What looks whether each open session may go on; called about once a second. */
  accessChecks: Set<() => void>
  prepare: SubmissionStep | null
}

export interface ClientSessionParts {
  id: number
  socket: WebSocket
  /** What it writes to. */
  raw: Duplex
  /** Who its address counts as. */
  from: AddressKeys
  /** Where it comes from. */
  remote: Remote
  /** Who it was at its upgrade. */
  identified: Identified
  /** It has shown that somebody is there. */
  onHeard(): void
  /** It has said something valid. */
  onProven(): void
  onClose(): void
}

/**
 * The door of one submitter: parses frames into operations of the core, and counts what waits for its answer. It decides
 * nothing about tasks; what the core answers comes back as effects, those of one commit as one frame.
 */
export function openClientSession(
  door: ClientDoor,
  { id, socket, raw, from: keys, remote, identified, onHeard, onProven, onClose }: ClientSessionParts,
): SocketSession {
  const { send, time, maxMessageBytes, maxMessagesPerSecond, gate, unsent, shares, guard, prepare } = door
  const out = createOutgoing<ServerMessage | ClientServerMessage>(socket, {
    maxFrameBytes: maxMessageBytes,
    unsent,
    shares,
    guard,
    keys,
    limits: { ...UNSENT, tooSlow: () => close('tooSlow', TOO_SLOW) },
  })
  out.batch = true
  const push = (message: Parameters<typeof out.push>[0]): void => {
    if (message.type === 'error' && 'ref' in message && message.ref !== undefined) door.onRefused?.(message.code)
    out.push(message)
  }
  const withinRate = createRate(maxMessagesPerSecond, () => time.monotonic())
  let open = true
  let proven = false
  let mistakes = 0
  /** Whether its first message has come. */
  let heard = false
  /** Whether anything came since the last check, and what waited for the reader then. */
  let alive = true
  let waitedBefore = 0

  const close: SocketSession['close'] = (reason, text) => {
    if (!open) return
    open = false
    out.close(reason, text)
  }
  const guarded = guard.guarded(close)
  const line = new FrameLine({ socket, keys, shares, guarded })
  const access = createClientAccess(door.access, {
    identified,
    remote,
    time,
    close,
    push(message) {
      out.push(message)
      out.flush()
    },
  })
  const checkAccess = guarded(() => access.check())
  const requests = createClientRequests({
    guarded,
    keys,
    gate,
    submit: (list) => send({ op: 'clientSubmissions', session: id, list, by: access.by() }, keys),
    ask: (message) => send({ op: 'clientMessage', session: id, message, by: access.by() }, keys),
    // Who may not submit costs nothing.
    prepare: () => (access.isNameless(true) ? null : prepare),
    refuse(ref, { code, message }) {
      push({ type: 'error', code: clientCode(code), message, ref })
      out.flush()
    },
    waiting: () => socket.bufferedAmount,
    isCrowded: () => unsent.isMuch(keys),
    hold: (held) => line.hold(held),
  })

  const mistake = (code: 'invalid_message' | 'unknown_type', message: string, named: { ref?: string } = {}): void => {
    push({ type: 'error', code, message, ...named })
    mistakes++
    if (mistakes > MAX_MISTAKES) close('invalid', 'too many messages that do not fit the protocol')
  }
  const within = (n: number): boolean => {
    if (withinRate(n)) return true
    out.push({ type: 'error', code: 'rate_limited', message: `more than ${maxMessagesPerSecond} messages a second` })
    close('tooMany', 'too many messages')
    return false
  }
  const prove = (): void => {
    // Who may do nothing has proven nothing, whatever he says.
    if (proven || access.isNameless(heard)) return
    proven = true
    onProven()
  }

  const take = (value: unknown): void => {
    if (!open || !within(1)) return
    const isFirst = !heard
    heard = true
    const parsed = parseClientMessage(value)
    if (!parsed.ok) return mistake(parsed.code, parsed.problem, refOf(value))
    const { message } = parsed
    if (message.type === 'session.auth') {
      if (!isFirst) return mistake('invalid_message', 'session.auth: must be the first message of a session')
      access.authenticate(message.token)
      return prove()
    }
    prove()
    if (message.type !== 'task.submit' || requests.unanswered() < MAX_IN_FLIGHT) return requests.add(message)
    push({
      type: 'error',
      code: 'rate_limited',
      message: `${MAX_IN_FLIGHT} submissions of this session wait for their answer, the most that may; submit again when some have it`,
      ref: message.ref,
    })
  }
  const frame = (data: Buffer, isBinary: boolean): void => {
    if (!open) return
    if (isBinary) return close('binary', 'frames must be text')
    if (data.length > BYTES_A_MESSAGE && !within(Math.floor(data.length / BYTES_A_MESSAGE))) return out.flush()
    line.parse(data, takeAll)
  }
  const takeAll = (split: Frame): void => {
    if (!split.ok) mistake('invalid_message', split.problem)
    else for (const value of split.values) take(value)
    requests.advance()
    out.flush()
  }

  socket.on(
    'message',
    guarded((data: Buffer, isBinary: boolean) => {
      alive = true
      line.add(() => frame(data, isBinary))
    }),
  )
  socket.on(
    'pong',
    guarded(() => {
      alive = true
      onHeard()
    }),
  )
  const end = (): void => {
    open = false
    requests.end()
    door.accessChecks.delete(checkAccess)
    out.gone()
    send({ op: 'clientDisconnected', session: id })
    onClose()
  }
  // A protocol error or a frame over the limit: ws has closed with the right code, 'close' follows.
  socket.on('error', () => undefined)
  raw.on('drain', requests.advance)
  socket.on(
    'close',
    guarded(() => line.add(end)),
  )

  door.accessChecks.add(checkAccess)
  if (keys.length > 0) send({ op: 'clientConnected', session: id, from: keys })
  out.push({ type: 'session.welcome', protocol: 1, server_time: toSeconds(time.wall()), max_in_flight: MAX_IN_FLIGHT })
  out.flush()
  return {
    batch: true,
    inHandshake: false,
    get maxIncoming() {
      return access.isNameless(heard) ? Math.min(MAX_NAMELESS_BYTES, maxMessageBytes) : maxMessageBytes
    },
    get isPaused() {
      return socket.isPaused
    },
    received: (bytes) => line.received(bytes),
    push(message) {
      // Each answer to a submission names its ref, and nothing else does.
      if ('ref' in message) requests.submitted(message)
      else if ('task_id' in message && message.task_id !== undefined)
        requests.answered(message.task_id, textSize(message))
      if (message.type === 'error' && (message.code === 'unauthorized' || message.code === 'forbidden'))
        door.access.tally.answered(message.code)
      push(message)
    },
    flush: () => out.flush(),
    close,
    gone: () => out.gone(),
    drain(comeback) {
      out.push({ type: 'session.drain', reason: 'shutdown', ...comeback })
      out.flush()
    },
    check() {
      if (!open) return
      const waits = socket.bufferedAmount
      // What is not read from cannot answer a ping; who reads takes something.
      const reads = requests.isHeld() ? waits < waitedBefore || waits === 0 : alive
      waitedBefore = waits
      if (!reads) return requests.isHeld() ? close('tooSlow', TOO_SLOW) : close('silent', 'no answer to a ping')
      alive = false
      socket.ping()
    },
  }
}

/** About how large a message is: that of a result may be of megabytes, and that of streamed text. */
function textSize(message: ServerMessage | ClientAnswer): number {
  if (message.type === 'task.result') return message.result?.output.length ?? 0
  return message.type === 'task.output' ? message.delta.length : 0
}
