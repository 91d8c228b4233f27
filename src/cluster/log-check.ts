import * as v from 'valibot'
import { shownAddress } from '../lib/connection-error.js'
import { explainNetworkError } from '../lib/network-error.js'
import { loginOf } from '../lib/rest-client.js'

/** The oldest server that keeps a journal through kills of its process: 2.10.22 could lose whole streams. */
const OLDEST_VERSION = '2.10.23'
/** Fewer cannot lose one and still have a majority. */
export const MIN_SERVERS = 3
/** What a server must take in one message, bytes. */
export const MAX_PAYLOAD_BYTES = 1024 * 1024
/** How long one server may take to answer, ms. */
const TIMEOUT_MS = 3000
/** An answer is 4 kB; bytes. */
const MAX_ANSWER_BYTES = 512 * 1024
const RESTART = 'in its configuration, and start it again'

/** A log server that has answered. */
export interface CheckedServer {
  id: string
  name: string
  /** That it belongs to; null where it is alone. */
  cluster: string | null
}

/** What the log servers say about themselves. */
export interface LogReport {
  servers: CheckedServer[]
  /** What keeps the log from keeping what it acknowledges: a sentence each, which says what to change where. */
  lacks: string[]
  /** Of each server that gave no answer: a sentence that says why, and what to look at. */
  silent: string[]
}

/**
 * Asks each log server whether it keeps what it acknowledges, which clients of the log cannot see: its version, JetStream, a sync at
 * every write, and at least three servers in one cluster. Never throws for what a server says.
 *
 * Nothing may be lacking ever. For a new journal no server may be silent either; a coordinator that starts wants answers of a majority
 * (`isMajority`) and none that lacks something: one machine may be down just then.
 * @param monitors the monitoring address of each server, such as `http://n1:8222`
 * @param timeout how long each may take, ms
 */
export async function checkLog(monitors: readonly string[], timeout = TIMEOUT_MS): Promise<LogReport> {
  const answers = await Promise.all(monitors.map((monitor) => ask(monitor, timeout)))
  const found = answers.flatMap((answer) => (typeof answer === 'string' ? [] : [answer]))
  const lacks = found.flatMap(({ shown, said }) => lacksOf(`the log server ${said.server_name} (${shown})`, said))
  if (monitors.length < MIN_SERVERS)
    lacks.unshift(
      `monitor names ${monitors.length} of the log's servers: name the monitoring address of each, of which there must be ${MIN_SERVERS} at least, on machines of their own`,
    )
  for (const [i, one] of found.entries()) {
    const first = found.findIndex(({ said }) => said.server_id === one.said.server_id)
    const same = found[first]
    if (first < i && same !== undefined)
      lacks.push(`${same.shown} and ${one.shown} are the same log server: name another server in monitor`)
  }
  const clusters = new Set(found.flatMap(({ said }) => said.cluster.name ?? []))
  if (clusters.size > 1)
    lacks.push(
      `the log servers are of different clusters (${[...clusters].join(', ')}): give all the same cluster { name } and routes to each other`,
    )
  return {
    servers: found.map(({ said }) => ({
      id: said.server_id,
      name: said.server_name,
      cluster: said.cluster.name ?? null,
    })),
    lacks,
    silent: answers.filter((answer) => typeof answer === 'string'),
  }
}

/** Whether more than half of the servers have answered. */
export const isMajority = ({ servers, silent }: LogReport): boolean => servers.length > silent.length

const text = v.pipe(v.string(), v.maxLength(256))
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
/** Of `/varz`, which since 2.10 says all that is asked: what is left out there is off. */
const varz = v.object({
  server_id: text,
  server_name: v.pipe(text, v.minLength(1)),
  version: text,
  max_payload: count,
  cluster: v.optional(v.object({ name: v.optional(text) }), {}),
  jetstream: v.optional(
    v.object({
      config: v.optional(v.object({ sync_always: v.optional(v.boolean(), false) })),
      meta: v.optional(v.object({ cluster_size: count })),
    }),
    {},
  ),
})
type Varz = v.InferOutput<typeof varz>

function lacksOf(server: string, { version, max_payload, cluster, jetstream }: Varz): string[] {
  const lacks: string[] = []
  if (isOlder(version, OLDEST_VERSION))
    lacks.push(
      `${server} runs nats-server ${version}, which can lose a journal when it is killed: install ${OLDEST_VERSION} or later there, best the newest`,
    )
  if (jetstream.config === undefined)
    lacks.push(
      `${server} runs without JetStream: write jetstream { store_dir: "/var/lib/nats", sync_interval: always } ${RESTART}`,
    )
  // Older ones refuse to start with it: they need the new version first.
  else if (!jetstream.config.sync_always)
    lacks.push(
      `${server} acknowledges what is not on its disk yet: write jetstream { sync_interval: always } ${RESTART}`,
    )
  if (cluster.name === undefined)
    lacks.push(`${server} is in no cluster: write cluster { name, listen, routes } as in the other servers ${RESTART}`)
  else if (jetstream.meta !== undefined && jetstream.meta.cluster_size < MIN_SERVERS)
    lacks.push(
      `${server} is in a cluster of ${jetstream.meta.cluster_size}: it takes ${MIN_SERVERS} to lose one; write the routes to all of them ${RESTART}`,
    )
  if (max_payload < MAX_PAYLOAD_BYTES)
    lacks.push(`${server} takes messages up to ${max_payload} bytes: write max_payload: 1MB ${RESTART}`)
  return lacks
}

/** Whether a version is before another; one that is none is older than all. */
function isOlder(version: string, than: string): boolean {
  const numbers = (of: string): number[] => (/^v?(\d+)\.(\d+)\.(\d+)/.exec(of) ?? []).slice(1).map(Number)
  const [a, b] = [numbers(version), numbers(than)]
  if (a.length === 0) return true
  const unlike = a.findIndex((n, i) => n !== b[i])
  return unlike >= 0 && (a[unlike] ?? 0) < (b[unlike] ?? 0)
}

/** @returns what the server says; a sentence when it says nothing */
async function ask(monitor: string, timeout: number): Promise<{ shown: string; said: Varz } | string> {
  const shown = shownAddress(monitor)
  const login = loginOf(monitor)
  let body: string | null
  try {
    const response = await fetch(`${shown}/varz`, {
      headers: login === null ? {} : { authorization: login },
      redirect: 'manual',
      signal: AbortSignal.timeout(timeout),
    })
    body = await bodyOf(response.body)
  } catch (error) {
    if (error instanceof Error && error.name === 'TimeoutError')
      return `${shown} has not said within ${timeout / 1000} s how the log server is: see whether it runs there`
    const { protocol, host } = new URL(shown)
    // The error of fetch says no more than that it failed.
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
    const why = explainNetworkError({ subject: shown, secure: protocol === 'https:', host }, cause)
    return `${why}; see whether the log server runs, and has http: "${host}" in its configuration`
  }
  const answer = v.safeParse(v.pipe(v.string(), v.parseJson(), varz), body)
  if (answer.success) return { shown, said: answer.output }
  return `${shown} does not answer as the monitoring address of a nats-server: check the address in monitor`
}

/** null: too large. */
async function bodyOf(body: ReadableStream<Uint8Array> | null): Promise<string | null> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of body ?? []) {
    bytes += chunk.byteLength
    if (bytes > MAX_ANSWER_BYTES) return null // leaving the loop cancels the rest
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}
