import { once } from 'node:events'
import { request } from 'node:http'
import { connect } from 'node:net'
import { expect, onTestFinished } from 'vitest'
import { expectDocumented } from './contract.js'
import type { Answer, Service } from './service.js'

export const JSON_TYPE = { 'content-type': 'application/json' }

/** An answer as it came over the wire, to a request that fetch would not send. */
export async function exchange(
  service: Pick<Service, 'host'>,
  method: string,
  path: string,
  headers: Record<string, string> = {},
  chunks: readonly (string | Uint8Array)[] = [],
) {
  const [hostname = '', port = ''] = service.host.split(':')
  const r = request({ hostname, port, method, path, headers, agent: false })
  r.on('error', () => undefined) // after the answer came, the rest of a refused body may meet a closed socket
  const answered = new Promise<{ status: number; headers: NodeJS.Dict<string | string[]>; text: string }>(
    (resolve, reject) => {
      r.on('response', (response) => {
        const parts: Buffer[] = []
        response.on('data', (part: Buffer) => parts.push(part))
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text: Buffer.concat(parts).toString(),
          }),
        )
        response.on('error', reject)
      })
      r.on('close', () => reject(new Error('the connection ended without an answer')))
    },
  )
  for (const chunk of chunks) r.write(chunk)
  r.end()
  const answer = await answered
  if (method !== 'HEAD')
    expectDocumented(method, path, {
      status: answer.status,
      headers: headersOf(answer.headers),
      body: answer.text === '' ? null : JSON.parse(answer.text),
    })
  return answer
}
const headersOf = (fields: NodeJS.Dict<string | string[]>): Headers =>
  new Headers(
    Object.entries(fields).flatMap(([name, value]) => [value ?? []].flat().map((one): [string, string] => [name, one])),
  )

/** Bytes on a socket, and everything that comes back until the service closes it. */
export async function rawExchange(service: Pick<Service, 'host'>, bytes: string): Promise<string> {
  const [hostname = '', port = ''] = service.host.split(':')
  const socket = connect(Number(port), hostname)
  onTestFinished(() => void socket.destroy())
  let text = ''
  socket.on('data', (part: Buffer) => (text += part.toString()))
  socket.write(bytes)
  await once(socket, 'close')
  return text
}

/** A call, and the status, the code and the words it is refused with. */
export type Refused = [ask: () => Promise<Answer>, status: number, code: string, names: RegExp]

export function expectRefusal(answer: Answer, status: number, code: string, names: string | RegExp): void {
  expect(answer.body).toEqual({ success: false, data: null, error: expect.stringMatching(names), code })
  expect(answer.status).toBe(status)
  expect(answer.headers.get('x-request-id')).toMatch(/./)
  expect(answer.headers.get('content-type')).toMatch(/^application\/json/)
}

/** An upgrade by hand: what an HTTP client sees of it. */
export const upgrade = (service: Service, headers: Record<string, string>, path = '/api/v1/nodes/connect') =>
  new Promise<{ status: number; headers: Record<string, string | string[] | undefined>; body: string }>(
    (resolve, reject) => {
      const sent = request(`http://${service.host}${path}`, {
        headers: {
          connection: 'Upgrade',
          upgrade: 'websocket',
          'sec-websocket-version': '13',
          'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
          ...headers,
        },
      })
      sent.on('upgrade', (response, socket) => {
        socket.destroy()
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: '' })
      })
      sent.on('response', (response) => {
        let body = ''
        response.on('data', (chunk: Buffer) => (body += chunk.toString()))
        response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }))
      })
      sent.on('error', reject)
      sent.end()
    },
  )
