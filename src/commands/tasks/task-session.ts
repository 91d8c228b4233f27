import { WebSocket } from 'ws'
import { pause } from '../../lib/timer.js'
import { hasLasted, planReconnect } from '../../inference-node/reconnect.js'
import type { SessionEnd } from '../../inference-node/session.js'
import { shownAddress } from '../../lib/connection-error.js'
import { explainNetworkError } from '../../lib/network-error.js'
import { CLIENT_PATH, CLIENT_PROTOCOL, parseClientServerMessage, type ClientAnswer } from '../../wire/client-answers.js'
import type { TaskWatch } from '../../wire/client.js'
import { createTurns } from '../../lib/turns.js'
import { splitFrame } from '../../wire/node.js'

export interface TaskSessionParts {
  /** The addresses of services that stand for each other, `http` or `https`: they are asked in turn. */
  urls: readonly string[]
  /** Shown with each session; null where there is none. */
  token: string | null
  /** What is asked for in each session; asked when it begins. */
  watch(): TaskWatch
  /** @returns true when nothing more is wanted */
  onMessage(message: ClientAnswer): boolean
  /** @param wait ms until the next session. Not called again for what is wrong in the same way still. */
  onLost(why: string, wait: number): void
  /** Ends the session and every wait. */
  halted: AbortSignal
}

/** For everything up to the welcome, ms. */
const CONNECT_TIMEOUT_MS = 10_000
/** The service pings every 30 s: one that has been silent for longer than two of them is not there any more, ms. */
const SILENCE_MS = 75_000
/** A result comes in one frame. */
const MAX_FRAME_BYTES = 512 * 1024 * 1024
/** What the service cannot do now, and may do later. */
const LATER: ReadonlySet<string> = new Set(['rate_limited', 'unavailable', 'stopping'])
const LOST_CODE = 1006

/**
 * Watches a task in one session after the other, as the table of close codes says, until nothing more is wanted.
 * @returns why no other session may follow; null when none is wanted
 */
export async function watchTask(parts: TaskSessionParts): Promise<string | null> {
  const turns = createTurns(parts.urls)
  let failures = 0
  let told = ''
  while (!parts.halted.aborted) {
    const place = turns.at
    const end = await holdSession(parts.urls[place] ?? '', parts)
    if (end === null || parts.halted.aborted) return null
    if ('refused' in end) return end.refused
    if (end.welcomed) {
      told = ''
      turns.answered()
    } else if (turns.failed(place)) continue
    if (hasLasted(end)) failures = 0
    const plan = planReconnect(end, failures++, Math.random)
    if ('stop' in plan) return plan.stop
    if (end.reason !== told) parts.onLost(end.reason, plan.wait)
    told = end.reason
    await pause(plan.wait, parts.halted)
  }
  return null
}

/** One session. Null: it ended because nothing more is wanted. */
function holdSession(
  url: string,
  { token, watch, onMessage, halted }: TaskSessionParts,
): Promise<SessionEnd | { refused: string } | null> {
  const shown = shownAddress(url)
  const socket = new WebSocket(sessionUrl(url), CLIENT_PROTOCOL, {
    perMessageDeflate: false,
    maxPayload: MAX_FRAME_BYTES,
    handshakeTimeout: CONNECT_TIMEOUT_MS,
    ...(token === null ? {} : { headers: { authorization: `Bearer ${token}` } }),
  })
  let welcomedAt: number | null = null
  let reconnectAfter: number | null = null
  let heardAt = performance.now()
  let given = '' // why we gave the session up
  let end: { refused: string } | null | undefined

  const giveUp = (why: string): void => {
    given = why
    socket.terminate()
  }
  /** Nothing is left to be done here. */
  const finish = (how: { refused: string } | null): void => {
    end = how
    socket.close(1000)
    setTimeout(() => socket.terminate(), 1000).unref()
  }
  const silence = setInterval(() => {
    if (welcomedAt === null && performance.now() - heardAt > CONNECT_TIMEOUT_MS) giveUp(`${shown} sends no welcome`)
    else if (performance.now() - heardAt > SILENCE_MS) giveUp(`${shown} has been silent for too long`)
  }, 1000)

  const take = (value: unknown): void => {
    const parsed = parseClientServerMessage(value)
    if (!parsed.ok || end !== undefined) return // newer messages are for newer clients
    const { message } = parsed
    if (message.type === 'session.welcome') {
      welcomedAt = performance.now()
      socket.send(JSON.stringify(watch()))
    } else if (message.type === 'session.drain') reconnectAfter = message.reconnect_after
    else if (message.type === 'session.authenticated') return // our token was shown before
    else if (message.type === 'error' && LATER.has(message.code)) giveUp(message.message)
    else if (message.type === 'error') finish({ refused: message.message })
    else if (onMessage(message)) finish(null)
  }
  const heard = (): void => {
    heardAt = performance.now()
  }
  const onHalt = (): void => finish(null)
  halted.addEventListener('abort', onHalt)

  socket.on('message', (data: Buffer) => {
    heard()
    const frame = splitFrame(data.toString())
    if (frame.ok) frame.values.forEach(take)
  })
  socket.on('ping', heard)
  socket.on('unexpected-response', (_request, { statusCode: status = 0 }) => {
    if (status === 429 || status >= 500) giveUp(`${shown} opens no session now (${status})`)
    else finish({ refused: `${shown} opens no session (${status}); a proxy in between has to let WebSockets through` })
  })
  // 'close' follows.
  socket.on('error', (error) => {
    if (given !== '') return
    const { protocol, host } = new URL(url)
    given =
      welcomedAt === null
        ? explainNetworkError({ subject: shown, secure: protocol === 'https:', host }, error)
        : error.message
  })
  return new Promise((resolve) => {
    socket.on('close', (code, reason) => {
      clearInterval(silence)
      halted.removeEventListener('abort', onHalt)
      if (end !== undefined) return resolve(end)
      const said = reason.toString()
      resolve({
        code: given === '' ? code : LOST_CODE,
        reason: given !== '' ? given : said !== '' ? said : 'the connection was lost',
        welcomed: welcomedAt !== null,
        lasted: welcomedAt === null ? 0 : performance.now() - welcomedAt,
        reconnectAfter,
        elsewhere: null,
      })
    })
  })
}

function sessionUrl(address: string): URL {
  const url = new URL(address.replace(/^http/i, 'ws'))
  url.pathname = `${url.pathname.replace(/\/+$/, '')}${CLIENT_PATH}`
  url.search = ''
  url.hash = ''
  return url
}
