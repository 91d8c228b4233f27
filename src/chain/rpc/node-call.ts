import { Agent, request } from 'undici'
import { shownAddress } from '../../lib/connection-error.js'
import { explainNetworkError, isUnreachable } from '../../lib/network-error.js'
import { loginOf } from '../../lib/rest-client.js'

/** What came of a call whatever the node says: there is no answer that can be read. */
export interface Unreachable {
  is: 'unreachable'
  /** One sentence: what is wrong, and what to do. Names the node by its address without what is secret in it. */
  message: string
}

/** An answer as it came, whole. */
export interface Reply {
  is: 'reply'
  status: number
  body: Buffer
}

export interface Call {
  /** With its slash, after the path of the node's address. */
  path: string
  /** JSON to POST; without it the call is a GET. */
  json?: string
  /** The most that is read of the answer, in bytes. */
  most: number
}

export interface NodeCallParts {
  /** The node's address, with user and password where a proxy wants them. */
  endpoint: string
  /** How long a call may take until the whole answer is there, ms. */
  timeout: number
  /** The setting that the address comes from: sentences tell the reader to look at it. */
  setting: string
}

export type NodeCalls = ReturnType<typeof createNodeCalls>

/** Calls to the RPC of one node. Redirects are not followed: what is posted again elsewhere would pay elsewhere. */
export function createNodeCalls({ endpoint, timeout, setting }: NodeCallParts) {
  const shown = shownAddress(endpoint)
  const { protocol, host } = new URL(endpoint)
  const login = loginOf(endpoint)
  const authorization = login === null ? {} : { authorization: login }
  // No connection is kept: one that the node has just closed would look as if the node were down.
  const agent = new Agent({ pipelining: 0, headersTimeout: 0, bodyTimeout: 0, connect: { timeout } })
  const unreachable = (why: string): Unreachable => ({ is: 'unreachable', message: `${shown} ${why}` })

  const explain = (error: unknown): Unreachable => {
    const message = explainNetworkError({ subject: shown, secure: protocol === 'https:', host }, error)
    return {
      is: 'unreachable',
      message: isUnreachable(error) ? `${message}; start the node, or correct ${setting}` : message,
    }
  }

  return {
    shown,
    /** What an answer that cannot be used comes to. @param why words that follow the node's address */
    unreachable,
    /** Never throws. */
    async call({ path, json, most }: Call): Promise<Reply | Unreachable> {
      const late = AbortSignal.timeout(timeout)
      try {
        const { statusCode, body } = await request(shown + path, {
          dispatcher: agent,
          signal: late,
          method: json === undefined ? 'GET' : 'POST',
          headers: { ...authorization, ...(json === undefined ? {} : { 'content-type': 'application/json' }) },
          ...(json === undefined ? {} : { body: json }),
        })
        const whole = await readWhole(body, most)
        if (whole !== null) return { is: 'reply', status: statusCode, body: whole }
        return unreachable(
          `answers ${path} with more than ${most} bytes, as no node does; see whether ${setting} is right`,
        )
      } catch (error) {
        if (!late.aborted) return explain(error)
        return unreachable(
          `has not answered ${path} within ${timeout / 1000} s; see in the log of the node what it does, or raise request_timeout`,
        )
      }
    },
    /** Ends all calls, which come to `unreachable` then. */
    close: (): Promise<void> => agent.destroy(),
  }
}

/** null where there is more; then the connection is ended. Rejects when it breaks before. */
async function readWhole(body: AsyncIterable<Buffer>, most: number): Promise<Buffer | null> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of body) {
    size += chunk.length
    if (size > most) return null
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
