import {
  CLIENT_PROTOCOL,
  parseClientServerMessage,
  type ClientAnswer,
  type ClientServerMessage,
} from '../wire/client-answers.js'
import { closeCodes } from '../wire/codes.js'
import { MAX_FRAME_MESSAGES } from '../wire/messages.js'
import type { Token } from './rest.js'
import { findWebSocket, type Socket } from './socket.js'

/** For everything until something can be asked, ms. */
const CONNECT_TIMEOUT_MS = 10_000
/** After so long without a message something is asked, to hear whether the other end is still there, ms. */
const QUIET_MS = 30_000
/** So long its answer may take, ms. */
const ANSWER_MS = 15_000
/** What is sent in one frame, in UTF-16 units: the least that a service may take is more. */
const FRAME_UNITS = 64 * 1024
/** A connection that was lost without a word. */
const LOST_CODE = 1006

/** How a session ended. */
export interface SessionEnd {
  code: number
  reason: string
  /** Whether things could be asked in it. */
  ready: boolean
  /** Nothing came back at all: something in between swallows what it does not know. */
  swallowed: boolean
  /** For how long, ms. */
  lasted: number
  /** When to come again, as the service has said, seconds; null: it has not. */
  reconnectAfter: number | null
}

export interface SessionParts {
  url: string
  token: Token
  /** Things can be asked now. @param maxInFlight how many submissions may wait for their answer */
  onReady(maxInFlight: number): void
  onAnswer(answer: ClientAnswer): void
  /** The service wants no new submissions here. @param to where the session goes on, when it is elsewhere */
  onDrain(reason: string, to: string | undefined): void
  /** Nothing was heard for long. @returns whether something was asked that has to be answered */
  onQuiet(): boolean
}

export interface Session {
  say(message: object): void
  /** Ends it. */
  leave(reason?: string): void
  ended: Promise<SessionEnd>
}

/** Opens one session, shows the token in it, and holds it until one of both ends it. */
export function openSession(parts: SessionParts): Session {
  let socket: Socket | null = null
  let over = false
  let maxInFlight = 0
  let readyAt: number | null = null
  let reconnectAfter: number | null = null
  let heardAt = performance.now()
  let isAsked = false
  let swallowed = false
  let outgoing: string[] = []
  let resolve = (_end: SessionEnd): void => undefined
  const ended = new Promise<SessionEnd>((done) => (resolve = done))

  const finish = (code: number, reason: string): void => {
    if (over) return
    over = true
    clearInterval(watchdog)
    socket?.close()
    const lasted = readyAt === null ? 0 : performance.now() - readyAt
    resolve({ code, reason, ready: readyAt !== null, swallowed, lasted, reconnectAfter })
  }
  const watchdog = setInterval(() => {
    const quiet = performance.now() - heardAt
    if (readyAt === null && quiet > CONNECT_TIMEOUT_MS) {
      swallowed = true
      finish(LOST_CODE, 'the service opens no session')
    } else if (isAsked && quiet > QUIET_MS + ANSWER_MS) finish(LOST_CODE, 'the service has been silent for too long')
    else if (readyAt !== null && !isAsked && quiet > QUIET_MS) isAsked = parts.onQuiet()
  }, 1000)

  const flush = (): void => {
    const messages = outgoing
    outgoing = []
    if (over || messages.length === 0) return
    let frame: string[] = []
    let units = 0
    const send = (): void => {
      if (frame.length > 0) socket?.send(frame.length === 1 ? (frame[0] ?? '') : `[${frame.join(',')}]`)
      frame = []
      units = 0
    }
    for (const message of messages) {
      if (frame.length === MAX_FRAME_MESSAGES || units + message.length > FRAME_UNITS) send()
      frame.push(message)
      units += message.length
    }
    send()
  }
  const say = (message: object): void => {
    // What is said in one turn goes as one frame: that costs the service least.
    if (outgoing.push(JSON.stringify(message)) === 1) queueMicrotask(flush)
  }
  const ready = (): void => {
    readyAt = performance.now()
    parts.onReady(maxInFlight)
  }
  const authenticate = async (): Promise<void> => {
    const { token } = parts
    const shown = typeof token === 'function' ? await token() : token
    if (over) return
    if (shown === undefined) ready()
    else say({ type: 'session.auth', token: shown })
  }

  const take = (message: ClientServerMessage): void => {
    switch (message.type) {
      case 'session.welcome':
        maxInFlight = message.max_in_flight
        authenticate().catch((error: unknown) =>
          finish(closeCodes.unauthorized.code, `the token cannot be had: ${String(error)}`),
        )
        return
      case 'session.authenticated':
        return ready()
      case 'session.drain':
        reconnectAfter = message.reconnect_after
        return parts.onDrain(message.reason, message.reconnect_to)
      default:
        return parts.onAnswer(message)
    }
  }
  const read = (text: string): void => {
    heardAt = performance.now()
    isAsked = false
    let frame: unknown
    try {
      frame = JSON.parse(text)
    } catch {
      return finish(LOST_CODE, 'what the service says is no JSON')
    }
    for (const value of Array.isArray(frame) ? frame : [frame]) {
      const parsed = parseClientServerMessage(value)
      if (parsed.ok && !over) take(parsed.message) // newer messages are for newer clients
    }
  }

  const connect = async (): Promise<void> => {
    const open = await findWebSocket()
    if (over) return
    if (open === null) return finish(LOST_CODE, 'there is no WebSocket here')
    const opened = open(parts.url, CLIENT_PROTOCOL)
    socket = opened
    opened.onmessage = ({ data }) => {
      if (!over && typeof data === 'string') read(data)
    }
    opened.onerror = () => undefined // the close says the rest
    opened.onclose = ({ code, reason }) => finish(code, reason === '' ? 'the connection was lost' : reason)
  }
  connect().catch((error: unknown) => finish(LOST_CODE, String(error)))

  return { say, leave: (reason = 'it has left') => finish(closeCodes.drained.code, reason), ended }
}
