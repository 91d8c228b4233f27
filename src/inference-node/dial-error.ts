import type { IncomingMessage } from 'node:http'
import * as v from 'valibot'
import { NODE_PATH } from '../wire/node.js'
import type { Address } from './address.js'
import { codeOf, explainNetworkError, type Peer } from '../lib/network-error.js'

/** The envelope in which a coordinator refuses a session. */
const refusal = v.object({
  success: v.literal(false),
  error: v.string(),
  /** The URL of the coordinator that has the work, where this one has not. */
  owner: v.fallback(v.nullish(v.string()), null),
})
const MAX_BODY_BYTES = 4096
/** How much of what a stranger says is shown, characters. */
const MAX_SHOWN = 300
const UNAVAILABLE = [429, 500, 502, 503, 504]

const peerOf = ({ url, host }: Address): Peer => {
  const secure = url.startsWith('wss:')
  return { subject: `${secure ? 'https' : 'http'}://${host}`, secure, host }
}

/** One sentence: why a coordinator was not reached. */
export function explainDialError(address: Address, error: unknown): string {
  const peer = peerOf(address)
  // What has no code is about an answer that is none to the request for a session.
  if (codeOf(error) === '' && error instanceof Error && !(error instanceof AggregateError))
    return `${peer.subject} is no coordinator (${error.message})`
  return explainNetworkError(peer, error)
}

/** What an answer means that opens no session, and whom it names instead. Reads a little of it. Never rejects. */
export async function readDialAnswer(
  address: Address,
  answer: IncomingMessage,
): Promise<{ why: string; owner: string | null }> {
  const body = await readLittle(answer)
  const said = v.safeParse(refusal, parse(body))
  const owner = said.success ? (said.output.owner ?? null) : null
  return { why: explainDialAnswer(address, answer, body, said.success ? said.output.error : null), owner }
}

/** One sentence. @param said what a coordinator says in it; null: it is of none */
function explainDialAnswer(address: Address, answer: IncomingMessage, body: string, said: string | null): string {
  const { subject, host } = peerOf(address)
  const { statusCode: status = 0, headers } = answer
  const path = new URL(address.url).pathname.slice(0, -NODE_PATH.length)
  // Such as that of the dashboard, copied from a browser.
  if (status === 404 && path !== '')
    return `${subject} has no coordinator at ${path} (${status}): if it is not behind a proxy that adds this path, use ${subject}`
  if (said !== null) return `${subject} refuses the session (${status}): ${said.slice(0, MAX_SHOWN)}`
  if (status >= 300 && status < 400 && headers.location !== undefined)
    return `${subject} redirects to ${headers.location.slice(0, MAX_SHOWN)} (${status}): use the coordinator's own URL`
  if (/plain HTTP request|HTTPS port/i.test(body)) return `${subject} speaks TLS: try https://${host}`
  if (UNAVAILABLE.includes(status)) return `${subject} cannot open a session now (${status})`
  if (status === 401 || status === 403) return `${subject} refuses the session (${status})`
  return `${subject} is no coordinator (${status})`
}

async function readLittle(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      chunks.push(chunk)
      size += chunk.length
      if (size >= MAX_BODY_BYTES) break
    }
  } catch {
    // what has come tells enough
  }
  return Buffer.concat(chunks).toString('utf8', 0, MAX_BODY_BYTES)
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body)
  } catch {
    return undefined // the status tells enough
  }
}
