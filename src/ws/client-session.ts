import type { WebSocket } from 'ws'
import type { Scheduler } from '../core/engine/scheduler.js'
import type { AddressKeys } from '../lib/address.js'
import { toSeconds, type TimeSource } from '../lib/clock.js'
import { createRate } from '../lib/rate.js'
import { keepLongAmounts } from '../wire/amounts.js'
import {
  MAX_IN_FLIGHT,
  parseClientMessage,
  refOf,
  type ClientServerMessage,
  type ClientSubmission,
} from '../wire/client.js'
import { splitFrame, type ServerMessage } from '../wire/node.js'
import { MAX_MISTAKES, NO_FRAME, type SocketSession } from './session.js'
import { createOutgoing } from './socket-writer.js'

/** What may wait for a submitter that does not read, in bytes: with more it has to read on, with `hard` it is closed. */
const UNSENT = { soft: 16 * 1024 * 1024, hard: 64 * 1024 * 1024 }

export interface ClientSessionParts {
  id: number
  socket: WebSocket
  /** Who its address counts as. */
  from: AddressKeys
  send: Scheduler['send']
  time: TimeSource
  maxMessageBytes: number
  maxMessagesPerSecond: number
  onClose(): void
}

/**
 * The door of one submitter: parses frames into operations of the core, and counts what waits for its answer. It decides
 * nothing about tasks; what the core answers comes back as effects, those of one commit as one frame.
 */
export function openClientSession({
  id,
  socket,
  from,
  send,
  time,
  maxMessageBytes,
  maxMessagesPerSecond,
  onClose,
}: ClientSessionParts): SocketSession {
  const out = createOutgoing<ServerMessage | ClientServerMessage>(socket, maxMessageBytes, {
    ...UNSENT,
    tooSlow: () => close('tooSlow', 'too much waits to be read; read faster, or watch fewer tasks at once'),
  })
  out.batch = true
  const withinRate = createRate(maxMessagesPerSecond, () => time.monotonic())
  let open = true
  let mistakes = 0
  /** Submissions without an answer. */
  let inFlight = 0
  /** Whether anything came since the last check. */
  let alive = true
  /** Submissions of this frame that the core does not have yet. */
  let submissions: ClientSubmission[] = []

  const close: SocketSession['close'] = (reason, text) => {
    if (!open) return
    open = false
    out.close(reason, text)
  }

  const submit = (): void => {
    if (submissions.length === 0) return
    inFlight += submissions.length
    send({ op: 'clientSubmissions', session: id, list: submissions })
    submissions = []
  }

  const mistake = (code: 'invalid_message' | 'unknown_type', message: string, named: { ref?: string } = {}): void => {
    out.push({ type: 'error', code, message, ...named })
    mistakes++
    if (mistakes > MAX_MISTAKES) close('invalid', 'too many messages that do not fit the protocol')
  }

  const take = (value: unknown): void => {
    if (!open) return
    if (!withinRate()) {
      out.push({ type: 'error', code: 'rate_limited', message: `more than ${maxMessagesPerSecond} messages a second` })
      return close('tooMany', 'too many messages')
    }
    const parsed = parseClientMessage(value)
    if (!parsed.ok) return mistake(parsed.code, parsed.problem, refOf(value))
    const { message } = parsed
    if (message.type === 'task.submit') {
      if (inFlight + submissions.length < MAX_IN_FLIGHT) return void submissions.push(message)
      return out.push({
        type: 'error',
        code: 'rate_limited',
        message: `${MAX_IN_FLIGHT} submissions of this session wait for their answer, the most that may; submit again when some have it`,
        ref: message.ref,
      })
    }
    submit() // the order of a frame is kept
    send({ op: 'clientMessage', session: id, message })
  }

  socket.on('message', (data: Buffer, isBinary) => {
    if (!open) return
    alive = true
    if (isBinary) return close('binary', 'frames must be text')
    const values = splitFrame(keepLongAmounts(data.toString()))
    if (values === null) mistake('invalid_message', NO_FRAME)
    else for (const value of values) take(value)
    submit()
    out.flush()
  })
  socket.on('pong', () => {
    alive = true
  })
  // A protocol error or a frame over the limit: ws has closed with the right code, 'close' follows.
  socket.on('error', () => undefined)
  socket.on('close', () => {
    open = false
    send({ op: 'clientDisconnected', session: id })
    onClose()
  })

  if (from.length > 0) send({ op: 'clientConnected', session: id, from })
  out.push({ type: 'session.welcome', protocol: 1, server_time: toSeconds(time.wall()), max_in_flight: MAX_IN_FLIGHT })
  out.flush()
  return {
    batch: true,
    inHandshake: false,
    push(message) {
      // Each answer to a submission names its ref, and nothing else does.
      if ('ref' in message) inFlight--
      out.push(message)
    },
    flush: () => out.flush(),
    close,
    drain(reconnectAfter) {
      out.push({ type: 'session.drain', reason: 'shutdown', reconnect_after: reconnectAfter })
      out.flush()
    },
    check() {
      if (!open) return
      if (!alive) return close('silent', 'no answer to a ping')
      alive = false
      socket.ping()
    },
  }
}
