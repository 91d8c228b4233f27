import type { IncomingMessage, Server } from 'node:http'
import { Server as HttpsServer } from 'node:https'

/** Whether a request asks for a session. Every other upgrade, such as the `h2c` that Java's client asks for, is only offered. */
export const asksForSession = ({ headers }: Pick<IncomingMessage, 'headers'>): boolean =>
  headers.upgrade?.toLowerCase() === 'websocket'

/** The headers of an upgrade; without them it is a request like every other. */
const OF_UPGRADES = new Set(['upgrade', 'http2-settings'])

/**
 * Gives a request whose upgrade is not taken to the server once more, as the plain request that it is otherwise, with its body and
 * with whatever comes after it. Node before 24.9 has no other way: it has ended the connection's HTTP by then.
 * @param head what came after the headers
 */
export function serveAsRequest(server: Server, request: IncomingMessage, head: Buffer): void {
  const { socket } = request
  socket.unshift(Buffer.concat([Buffer.from(plainHead(request), 'latin1'), head]))
  server.emit(server instanceof HttpsServer ? 'secureConnection' : 'connection', socket)
}

function plainHead({ method, url, httpVersion, rawHeaders }: IncomingMessage): string {
  const lines = [`${method} ${url} HTTP/${httpVersion}`]
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? ''
    const value = rawHeaders[i + 1] ?? ''
    if (OF_UPGRADES.has(name.toLowerCase())) continue
    lines.push(`${name}: ${name.toLowerCase() === 'connection' ? withoutUpgrade(value) : value}`)
  }
  return `${lines.join('\r\n')}\r\n\r\n`
}

const withoutUpgrade = (connection: string): string =>
  connection
    .split(',')
    .map((option) => option.trim())
    .filter((option) => !OF_UPGRADES.has(option.toLowerCase()))
    .join(', ')
