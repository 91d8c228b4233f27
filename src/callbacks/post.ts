import { Readable } from 'node:stream'
import { buildConnector, Client } from 'undici'
import type { Pieces } from '../lib/json-pieces.js'
import { codeOf, explainNetworkError } from '../lib/network-error.js'
import { version } from '../lib/version.js'
import { AddressError, createNames, createPublicConnector, type ConnectorParts } from './connector.js'

/** How long a receiver has for its answer, ms, from the look-up of its name on. */
const TRY_MS = 10_000
/** So much of its answer is read, bytes, so that it can end the connection well. Nothing in it matters. */
const MAX_ANSWER_BYTES = 64 * 1024
const MAX_HEADER_BYTES = 16 * 1024

/** What came of a try. `error`: a sentence without the answer's own words. */
export type Posted = { is: 'delivered' } | { is: 'failed' | 'gone'; error: string }

export interface PostParts {
  /** Whether it may go to this machine and to private networks. */
  allowPrivate: boolean
  /** How addresses are found and judged where it may not. */
  judge?: Partial<Omit<ConnectorParts, 'timeout'>>
  /** In place of 10 s, ms. */
  timeout?: number
}

export type Post = ReturnType<typeof createPost>['post']

/**
 * Posts JSON to addresses that strangers have named. Each time over a connection of its own, whose address is judged; redirects are
 * not followed, for where they lead nobody has named.
 */
export function createPost({ allowPrivate, judge, timeout = TRY_MS }: PostParts) {
  const names = createNames()
  const connect = allowPrivate
    ? buildConnector({ timeout, maxCachedSessions: 0 })
    : createPublicConnector({ resolve: names.resolve, ...judge, timeout })

  const meaningOf = (status: number): Posted => {
    if (status >= 200 && status < 300) return { is: 'delivered' }
    if (status === 410) return { is: 'gone', error: 'the receiver has answered 410: it wants no more of it' }
    const redirect = status >= 300 && status < 400 ? ', and redirects are not followed: name the address itself' : ''
    return { is: 'failed', error: `the receiver has answered ${status}${redirect}` }
  }

  const post = async (
    url: string,
    headers: Readonly<Record<string, string>>,
    body: Pieces,
    cut: AbortSignal,
  ): Promise<Posted> => {
    const { origin, pathname, search, hostname, host, protocol } = new URL(url)
    const client = new Client(origin, {
      connect,
      pipelining: 0,
      headersTimeout: 0,
      bodyTimeout: 0,
      maxHeaderSize: MAX_HEADER_BYTES,
    })
    const late = new AbortController()
    const end = (): void => late.abort()
    const timer = setTimeout(end, timeout)
    cut.addEventListener('abort', end)
    if (cut.aborted) end()
    try {
      const answer = await client.request({
        method: 'POST',
        path: pathname + search,
        headers: {
          'content-type': 'application/json',
          'content-length': String(body.length),
          'user-agent': `stacks-inference-service/${version}`,
          ...headers,
        },
        body: Readable.from(body.pieces),
        signal: late.signal,
      })
      await answer.body.dump({ limit: MAX_ANSWER_BYTES, signal: late.signal }).catch(() => undefined) // it says nothing
      return meaningOf(answer.statusCode)
    } catch (error) {
      if (late.signal.aborted)
        return { is: 'failed', error: `the receiver has not answered within ${timeout / 1000} s` }
      if (error instanceof AddressError) return { is: 'failed', error: error.message }
      if (codeOf(error) === 'UND_ERR_HEADERS_OVERFLOW')
        return { is: 'failed', error: 'the receiver has answered with headers that are too large' }
      const peer = { subject: `the receiver ${hostname}`, secure: protocol === 'https:', host }
      return { is: 'failed', error: explainNetworkError(peer, error) }
    } finally {
      clearTimeout(timer)
      cut.removeEventListener('abort', end)
      await client.destroy()
    }
  }
  return {
    /**
     * Never rejects.
     * @param cut ends it; what it comes to then means nothing
     */
    post,
    /** Ends the look-ups of names, for which a stop would wait. */
    close: names.close,
  }
}
