// HTTP/1.1 over bare sockets: a client so cheap that the service, and not the client, is what a rate measures.
import { connect } from 'node:net'
import { now } from './measure.mjs'

const END = Buffer.from('\r\n\r\n')

/** The bytes of a request. */
export function requestBytes(url, method, path, body) {
  const text = body === undefined ? '' : JSON.stringify(body)
  const about =
    body === undefined ? '' : `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\n`
  return Buffer.from(`${method} ${path} HTTP/1.1\r\nHost: ${new URL(url).host}\r\n${about}\r\n${text}`)
}

/**
 * One connection, one request at a time. `ask(bytes, answered)` calls `answered(status, head, error)`: status 0 when the
 * connection failed. Answers in chunks are not understood.
 */
export function openRaw(url) {
  const { hostname, port } = new URL(url)
  let socket
  let rest = null
  let answered = null
  let closing = false
  const settle = (status, head, error) => {
    const call = answered
    answered = null
    call?.(status, head, error)
  }
  const open = () => {
    rest = null
    socket = connect({ host: hostname, port: Number(port), noDelay: true })
    socket.on('error', (error) => settle(0, '', error))
    const mine = socket
    socket.on('close', () => {
      if (socket === mine) socket = undefined
      if (!closing) settle(0, '', new Error('the connection was closed'))
    })
    socket.on('data', (part) => {
      rest = rest === null ? part : Buffer.concat([rest, part])
      const end = rest.indexOf(END)
      if (end < 0) return
      const head = rest.latin1Slice(0, end)
      const length = /\r\ncontent-length: *(\d+)/i.exec(head)
      if (length === null && /\r\ntransfer-encoding:/i.test(head))
        return settle(0, head, new Error('an answer in chunks'))
      if (rest.length < end + 4 + Number(length?.[1] ?? 0)) return
      rest = null
      settle(Number(head.slice(9, 12)), head)
    })
  }
  return {
    ask(bytes, callback) {
      answered = callback
      if (socket === undefined) open()
      socket.write(bytes)
    },
    close() {
      closing = true
      socket?.destroy()
    },
  }
}

/**
 * `count` connections that have been answered once: a busy server accepts few connections a turn of its loop, which is
 * not what is measured.
 */
async function openMany(url, count) {
  const bytes = requestBytes(url, 'GET', '/health')
  const all = Array.from({ length: count }, () => openRaw(url))
  const answered = (raw) =>
    new Promise((done, fail) => raw.ask(bytes, (status, _, error) => (status === 0 ? fail(error) : done())))
  for (let i = 0; i < count; i += 50) await Promise.all(all.slice(i, i + 50).map(answered))
  return all
}

/**
 * Closed loop: every connection asks again once it is answered, until `ms` are over or `next()` gives undefined.
 * @param o.next () -> bytes of a request; @param o.ok the only status that is right
 * @returns { started, count, seconds, latencies (ms) }; rejects at any other status
 */
export async function closedLoop(url, { connections, ms = Infinity, next, ok }) {
  const latencies = []
  const all = await openMany(url, connections)
  const started = now()
  const flow = (raw) =>
    new Promise((done, fail) => {
      const again = () => {
        const bytes = now() - started < ms ? next() : undefined
        if (bytes === undefined) return done()
        const sent = now()
        raw.ask(bytes, (status, head, error) => {
          if (status !== ok)
            return fail(new Error(`an answer of ${status} where ${ok} was expected: ${error?.message ?? head}`))
          latencies.push(now() - sent)
          again()
        })
      }
      again()
    })
  try {
    await Promise.all(all.map(flow))
    return {
      started,
      count: latencies.length,
      seconds: (now() - started) / 1000,
      latencies: Float64Array.from(latencies),
    }
  } finally {
    all.forEach((raw) => raw.close())
  }
}

/**
 * Open loop: `rate` requests a second at random times, whether or not the earlier ones are answered; the latency of each
 * counts from when it was due. All `connections` are open before; what is due while all of them wait, waits in line.
 * @param o.request (i) -> bytes of request number i; @param o.patience ms to wait for answers after the last was due
 * @returns { started, ended (the last was due), over (the last was answered), due, answers: [{ i, status, retryAfter, ms }], unanswered }
 */
export async function openLoop(url, { rate, seconds, connections, request, patience }) {
  const times = []
  for (let t = -Math.log(1 - Math.random()) / rate; t < seconds; t += -Math.log(1 - Math.random()) / rate)
    times.push(t * 1000)
  const all = await openMany(url, connections)
  const free = [...all]
  const started = now()
  const line = []
  const answers = []
  let next = 0
  const ask = (raw, i) =>
    raw.ask(request(i), (status, head) => {
      answers.push({
        i,
        status,
        retryAfter: status === 200 ? null : (/\r\nretry-after: *(\d+)/i.exec(head)?.[1] ?? null),
        ms: now() - started - times[i],
      })
      if (line.length > 0) ask(raw, line.shift())
      else free.push(raw)
    })
  const begin = (i) => {
    const raw = free.pop()
    if (raw === undefined) line.push(i)
    else ask(raw, i)
  }
  return new Promise((done) => {
    const step = () => {
      const t = now() - started
      while (next < times.length && times[next] <= t) begin(next++)
      const over = next === times.length && (answers.length === times.length || t > seconds * 1000 + patience)
      if (!over) return void setTimeout(step, 1)
      all.forEach((raw) => raw.close())
      done({
        started,
        ended: started + seconds * 1000,
        over: now(),
        due: times.length,
        answers,
        unanswered: times.length - answers.length,
      })
    }
    step()
  })
}
