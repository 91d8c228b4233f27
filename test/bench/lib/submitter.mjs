import { Agent, request } from 'node:http'
import { WebSocket } from 'ws'
import { createFrames, messagesOf } from './frames.mjs'

/** An answer that is no success. */
export class Refused extends Error {
  constructor(what, { status = 0, code = '', retryAfter = null, message = '' }) {
    super(`${what}: ${status || ''} ${code} ${message}`.replace(/ +/g, ' '))
    Object.assign(this, { status, code, retryAfter })
  }
}

/**
 * A client of the REST API over connections that are kept alive, with a `token` or none.
 * `call` gives { status, headers, text }; `submit`, `batch`, `get` and `post` give what is in `data` and throw `Refused`.
 */
export function createRest(url, { connections = 100, token } = {}) {
  const { hostname, port } = new URL(url)
  const agent = new Agent({ keepAlive: true, maxSockets: connections, maxFreeSockets: connections, noDelay: true })
  const call = (method, path, body) =>
    new Promise((resolve, reject) => {
      const text = body === undefined ? undefined : JSON.stringify(body)
      const headers = {
        ...(text === undefined
          ? {}
          : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) }),
        ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
      }
      const r = request({ agent, hostname, port, method, path, headers, timeout: 60_000 }, (response) => {
        const parts = []
        response.on('data', (part) => parts.push(part))
        response.once('end', () =>
          resolve({
            status: response.statusCode,
            headers: response.headers,
            text: parts.length === 1 ? parts[0].toString() : Buffer.concat(parts).toString(),
          }),
        )
        response.once('error', reject)
      })
      r.once('error', reject)
      r.once('timeout', () => r.destroy(new Error(`${method} ${path}: no answer within 60 s`)))
      r.end(text)
    })
  const asked = async (method, path, body) => {
    const answer = await call(method, path, body)
    if (answer.status === 204) return null
    const parsed = JSON.parse(answer.text)
    if (answer.status === 200) return parsed.data
    throw new Refused(`${method} ${path}`, {
      status: answer.status,
      code: parsed.code,
      message: parsed.error,
      retryAfter: answer.headers['retry-after'] ?? null,
    })
  }
  return {
    call,
    get: (path) => asked('GET', path),
    post: (path, body) => asked('POST', path, body),
    submit: (task) => asked('POST', '/api/v1/tasks/submit', task),
    /** Throws when any one of them was refused. */
    async batch(tasks) {
      const { results } = await asked('POST', '/api/v1/tasks/batch', { tasks })
      const bad = results.find((r) => r.task_id === undefined)
      if (bad !== undefined)
        throw new Refused('POST /api/v1/tasks/batch', { status: 200, code: bad.code, message: bad.error })
      if (results.length !== tasks.length)
        throw new Error(`a batch of ${tasks.length} was answered with ${results.length} results`)
      return results
    },
    close: () => agent.destroy(),
  }
}

/**
 * Opens a submitter session; resolves when it is welcomed, rejects where the service has none.
 * @param o.onResult, o.onStatus, o.onOutput (message) of what is watched
 * @param o.token a bearer token, where the service wants one
 * @returns { submit(task, watch = 'none') -> task.submitted message, send(message), close(), maxInFlight, inFlight() }
 */
export function openSubmitter(url, o = {}) {
  const host = new URL(url.replace(/^ws/, 'http')).host
  const socket = new WebSocket(`ws://${host}/api/v1/tasks/connect`, ['inference-client.v1'], {
    perMessageDeflate: false,
    skipUTF8Validation: true,
    handshakeTimeout: 30_000,
    headers: o.token === undefined ? {} : { Authorization: `Bearer ${o.token}` },
  })
  const send = createFrames(socket)
  const waiting = new Map()
  let lastRef = 0
  let closing = false
  const session = {
    maxInFlight: 1000,
    inFlight: () => waiting.size,
    send,
    submit: (task, watch = 'none') =>
      new Promise((resolve, reject) => {
        const ref = `r${++lastRef}`
        waiting.set(ref, { resolve, reject })
        send({ type: 'task.submit', ref, ...task, watch })
      }),
    close: () =>
      new Promise((done) => {
        closing = true
        if (socket.readyState === WebSocket.CLOSED) return done()
        socket.once('close', done)
        socket.close(1000)
      }),
  }
  return new Promise((welcomed, refused) => {
    const take = (m) => {
      const call = m.ref === undefined ? undefined : waiting.get(m.ref)
      if (call !== undefined) waiting.delete(m.ref)
      switch (m.type) {
        case 'task.submitted':
          return call?.resolve(m)
        case 'task.result':
          return o.onResult?.(m)
        case 'task.status':
          return o.onStatus?.(m)
        case 'task.output':
          return o.onOutput?.(m)
        case 'session.welcome':
          session.maxInFlight = m.max_in_flight
          return welcomed(session)
        case 'error': {
          const error = new Refused('task.submit', {
            code: m.code,
            message: m.message,
            retryAfter: m.retry_after ?? null,
          })
          if (call !== undefined) return call.reject(error)
          throw error
        }
      }
    }
    socket.on('message', (frame) => messagesOf(frame).forEach(take))
    socket.on('error', refused)
    socket.on('close', (code, reason) => {
      const error = new Error(`the submitter session closed with ${code} ${reason}`)
      for (const { reject } of waiting.values()) reject(error)
      waiting.clear()
      if (!closing) refused(error)
    })
  })
}
