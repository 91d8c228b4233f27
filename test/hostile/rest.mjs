import { Agent, request } from 'node:http'

/** How long an answer may take, ms: only what hangs takes so long. */
const PATIENCE_MS = 60_000

/**
 * A client of the REST API that comes from one address of this machine, over connections that are kept alive.
 * @param o.keep whether what is answered is wanted; otherwise it is read and forgotten
 * @param o.patience ms that an answer may take
 * @returns (method, path, body?, headers?) -> { status, code, data }; status 0, and the reason as code, when no whole answer came
 */
export function createRest(url, from, { connections = 16, keep = true, patience = PATIENCE_MS } = {}) {
  const { hostname, port } = new URL(url)
  const agent = new Agent({ keepAlive: true, maxSockets: connections, noDelay: true })
  return (method, path, body, headers = {}) =>
    new Promise((resolve) => {
      const bytes = body === undefined || Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body))
      const form = bytes === undefined ? {} : { 'Content-Type': 'application/json', 'Content-Length': bytes.length }
      const failed = (error) => resolve({ status: 0, code: error.code ?? error.message, data: null })
      const asked = request(
        {
          agent,
          hostname,
          port,
          method,
          path,
          localAddress: from,
          headers: { ...form, ...headers },
          timeout: patience,
        },
        (response) => {
          const { statusCode: status } = response
          const parts = []
          response.on('data', (part) => keep && parts.push(part))
          response.once('error', failed)
          response.once('close', () => {
            if (!response.complete) return failed(new Error('the answer was cut off'))
            const text = keep ? Buffer.concat(parts).toString() : ''
            const { data = null, code = '' } = text === '' ? {} : JSON.parse(text)
            resolve({ status, code, data })
          })
        },
      )
      asked.once('error', failed)
      asked.once('timeout', () => asked.destroy(new Error('no answer in time')))
      asked.end(bytes)
    })
}
