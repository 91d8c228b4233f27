import { randomUUID } from 'node:crypto'
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { STRANGER, type Caller } from '../core/access/caller.js'
import type { RefusedTally } from '../door/refused-calls.js'
import type { Remote, Remotes } from '../door/remote.js'
import type { AddressKeys } from '../lib/address.js'
import { refusalHeaders } from '../lib/refusal-headers.js'
import type { Refusal } from '../lib/result.js'
import { errors, type ErrorCode } from '../wire/codes.js'
import { errorEnvelope } from '../wire/envelope.js'
import { OPENAI_PATH, openAiError } from '../wire/openai.js'
import type { Limits } from './limits.js'

/** The most requests of one connection that may wait for their answers: who does not wait for them may send so many ahead. */
const MAX_UNANSWERED = 8
/** So many more are passed over, until the connection is cut. */
const MAX_PASSED_OVER = 64
/** A refused body up to this size is read and dropped, in bytes; what is larger ends its connection. */
const DROPPED_BYTES = 1024 * 1024
/** How long what is left of a refused body is read and dropped, so that its sender reads the answer, ms. */
const LINGER_MS = 500

/** A request and its answer. */
export interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly limits: Limits
  /** Where it comes from. */
  readonly remote: Remote
  /** Who the limits of addresses count it as. */
  readonly keys: AddressKeys
  /** Who asks; nobody until that was looked at. */
  readonly by: Caller
  /** Whether he has shown nothing where he should. */
  readonly isStranger: boolean
  /** The `X-Request-Id`. */
  readonly id: string
  /** What every answer has. */
  readonly headers: Readonly<Record<string, string>>
  /** Whether there are more of its connection than may wait for their answers. */
  readonly isOneTooMany: boolean
  /** The route that answers it, as the contract has it; null until one was found. */
  route: string | null
  /** Now it is known who asks. */
  identify(by: Caller, isStranger: boolean): void
  /** Every answer to it has this header from now on. */
  addHeader(name: string, value: string): void
  /** Counts how it is answered. */
  answered(code: ErrorCode): void
  /** Calls back when the answer has left, or can no more. */
  onEnd(then: () => void): void
  /** Calls back as soon as all earlier answers of the connection have left; not at all when it breaks before. */
  whenFirst(then: () => void): void
}

/** One connection: its exchanges that have not ended, in order. */
interface Line {
  open: OpenExchange[]
  /** Requests that were not answered because there were too many. */
  passedOver: number
  refuses: boolean
}

export interface ExchangesParts {
  limits: Limits
  remotes: Remotes
  tally: RefusedTally
  /** The headers of every answer beside its id. */
  headers: Readonly<Record<string, string>>
  /** Told of every answer that has ended: by which route, its status, the code of its refusal, and how long it took, ms. */
  measured?(route: string | null, method: string, url: string, status: number, code: string | null, ms: number): void
}

/** Tells the requests of each connection apart from those of others, and gives back what they hold when they end or it breaks. */
export function createExchanges(parts: ExchangesParts) {
  const lines = new WeakMap<Socket, Line>()
  const lineOf = (socket: Socket): Line => {
    const known = lines.get(socket)
    if (known !== undefined) return known
    const line: Line = { open: [], passedOver: 0, refuses: false }
    lines.set(socket, line)
    // Answers that wait for others are not told that their connection has broken.
    socket.once('close', () => {
      line.refuses = true
      for (const exchange of line.open.splice(0)) exchange.end()
    })
    return line
  }
  return {
    /** @returns null when the request is to be passed over: its connection is about to be closed */
    open(request: IncomingMessage, response: ServerResponse): Exchange | null {
      const { socket } = request
      const line = lineOf(socket)
      if (line.refuses) {
        if (++line.passedOver > MAX_PASSED_OVER) socket.destroy()
        return null
      }
      const exchange = new OpenExchange(request, response, line, parts)
      line.refuses = exchange.isOneTooMany
      return exchange
    },
    /** Calls back when no request of the connection waits for its answer. */
    whenIdle(socket: Socket, then: () => void): void {
      const last = lineOf(socket).open.at(-1)
      if (last === undefined) then()
      else last.onEnd(() => !socket.destroyed && then())
    },
  }
}
export type Exchanges = ReturnType<typeof createExchanges>

/** A class, for each request makes one. */
class OpenExchange implements Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly limits: Limits
  readonly id = randomUUID()
  readonly headers: Record<string, string>
  readonly isOneTooMany: boolean
  readonly remote: Remote
  by: Caller
  isStranger = false
  route: string | null = null
  readonly #began = performance.now()
  readonly #measured: ExchangesParts['measured']
  #code: ErrorCode | null = null
  readonly #tally: RefusedTally
  readonly #line: Line
  #then: (() => void)[] | null = null
  #start: (() => void) | null = null

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    line: Line,
    { limits, headers, remotes, tally, measured }: ExchangesParts,
  ) {
    this.request = request
    this.response = response
    this.limits = limits
    this.remote = remotes.of(request)
    this.by = { ...STRANGER, address: this.remote.address ?? null, request_id: this.id }
    this.#tally = tally
    this.#measured = measured
    this.headers = { ...headers, 'X-Request-Id': this.id }
    this.#line = line
    this.isOneTooMany = line.open.length >= MAX_UNANSWERED
    line.open.push(this)
    response.once('close', () => this.end())
  }

  get keys(): AddressKeys {
    return this.remote.keys
  }

  identify(by: Caller, isStranger: boolean): void {
    this.by = by
    this.isStranger = isStranger
  }

  addHeader(name: string, value: string): void {
    this.headers[name] = value
  }

  answered(code: ErrorCode): void {
    this.#code = code
    this.#tally.answered(code)
  }

  onEnd(then: () => void): void {
    if (this.#then === null) this.#then = [then]
    else this.#then.push(then)
  }

  whenFirst(then: () => void): void {
    if (this.#line.open[0] === this) then()
    else this.#start = then
  }

  end(): void {
    const { open } = this.#line
    const at = open.indexOf(this)
    if (at >= 0) {
      open.splice(at, 1)
      this.#measure()
    }
    const ended = this.#then
    this.#then = null
    if (ended !== null) for (const then of ended) then()
    const next = open[0]
    if (at === 0 && next !== undefined) next.#run()
  }

  #measure(): void {
    const { method = '', url = '' } = this.request
    const ms = performance.now() - this.#began
    this.#measured?.(this.route, method, url, this.response.statusCode, this.#code, ms)
  }

  #run(): void {
    const start = this.#start
    this.#start = null
    start?.()
  }
}

export const JSON_TYPE = { 'Content-Type': 'application/json' }

/** An error as the clients of a path read it. */
export const errorBody = (url: string | undefined, { code, message, owner }: Refusal, data: unknown = null): object =>
  url?.startsWith(OPENAI_PATH) === true ? openAiError(code, message) : errorEnvelope(code, message, data, owner)

/** Whether a request has a body that is more than node:http should read and drop, so that the connection can go on. */
const hasLargeBody = ({ headers }: IncomingMessage): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? '0') > DROPPED_BYTES

/**
 * Refuses at once, as cheaply as can be: nothing more of the request is looked at.
 * @param close whether the connection ends with it: always where a large body is not read
 */
export function refuseEarly(exchange: Exchange, refusal: Refusal, close = false): void {
  const { request, response } = exchange
  const { code } = refusal
  const { status } = errors[code]
  exchange.answered(code)
  const body = JSON.stringify(errorBody(request.url, refusal))
  const unread = !request.complete && hasLargeBody(request)
  const headers: OutgoingHttpHeaders = {
    ...exchange.headers,
    ...JSON_TYPE,
    'Content-Length': Buffer.byteLength(body),
    ...refusalHeaders(refusal),
  }
  if (close || unread) headers.Connection = 'close'
  response.writeHead(status, headers)
  if (!unread) return void response.end(body)
  response.write(body)
  const end = (): void => void response.end()
  const late = setTimeout(end, LINGER_MS)
  exchange.onEnd(() => clearTimeout(late))
  request.once('end', end).resume()
}
