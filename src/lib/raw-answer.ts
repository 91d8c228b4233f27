import { STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { errors } from '../wire/codes.js'
import { errorEnvelope } from '../wire/envelope.js'
import { refusalHeaders } from './refusal-headers.js'
import type { Refusal } from './result.js'

/** How long the answer may take to leave, ms. */
const LINGER_MS = 2000

/** Answers on a bare connection like any other request is answered, and ends it. */
export function answerRaw(socket: Duplex, refusal: Refusal): void {
  const { code, message, owner } = refusal
  const { status } = errors[code]
  const body = JSON.stringify(errorEnvelope(code, message, null, owner))
  // The other side may keep its half open for ever, or not read at all: neither keeps the socket.
  socket.on('error', () => socket.destroy())
  socket.once('finish', () => socket.destroy())
  setTimeout(() => socket.destroy(), LINGER_MS).unref()
  socket.end(
    [
      `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
      'Connection: close',
      'Content-Type: application/json',
      `Content-Length: ${Buffer.byteLength(body)}`,
      'Cache-Control: no-store',
      'X-Content-Type-Options: nosniff',
      `X-Request-Id: ${crypto.randomUUID()}`,
      ...Object.entries(refusalHeaders(refusal)).map(([name, value]) => `${name}: ${value}`),
      '',
      body,
    ].join('\r\n'),
  )
}
