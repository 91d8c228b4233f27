import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'
import type { Service } from './service.js'
import { until } from './wait.js'

export interface RawConnection {
  socket: Socket
  /** All that has come so far. */
  text(): string
  send(bytes: string | Uint8Array): void
  /** Waits until this has come. */
  shows(part: string | RegExp): Promise<string>
  closed: Promise<unknown>
}

/** A connection that says what HTTP clients do not. @param from its own address, in 127.0.0.0/8 */
export async function openRaw(service: Pick<Service, 'host'>, from = '127.0.0.1'): Promise<RawConnection> {
  const [host = '', port = ''] = service.host.split(':')
  const socket = connect({ host, port: Number(port), localAddress: from })
  onTestFinished(() => void socket.destroy())
  socket.on('error', () => undefined)
  const closed = new Promise((resolve) => socket.once('close', resolve))
  let text = ''
  socket.on('data', (part: Buffer) => (text += part.toString('latin1')))
  await once(socket, 'connect')
  return {
    socket,
    text: () => text,
    send: (bytes) => void socket.write(bytes),
    async shows(part) {
      await until(() => (typeof part === 'string' ? text.includes(part) : part.test(text)), String(part))
      return text
    },
    closed,
  }
}

/** The text of a request. */
export const requestText = (
  service: Pick<Service, 'host'>,
  method: string,
  path: string,
  headers: Record<string, string | number> = {},
  body = '',
): string =>
  [
    `${method} ${path} HTTP/1.1`,
    `Host: ${service.host}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    '',
    body,
  ].join('\r\n')

/** The request of a JSON body, without all of it yet unless it is given. */
export const postText = (service: Pick<Service, 'host'>, path: string, body: string, length = body.length): string =>
  requestText(service, 'POST', path, { 'Content-Type': 'application/json', 'Content-Length': length }, body)

/** The statuses of all answers in the text of a connection, in order. */
export const statusesIn = (text: string): number[] =>
  [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((match) => Number(match[1]))
