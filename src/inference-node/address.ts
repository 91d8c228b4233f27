import { splitUrls } from '../lib/turns.js'
import { NODE_PATH } from '../wire/node.js'

/** Where a coordinator is reached. */
export interface Address {
  /** The WebSocket URL that is dialled. */
  url: string
  /** The authority as it goes into the Host header and into the signed hello: lower case, without a default port. */
  host: string
  /** The URL for logs and errors: without user, password and query. */
  shown: string
}

const SCHEMES = new Map([
  ['http:', 'ws:'],
  ['https:', 'wss:'],
  ['ws:', 'ws:'],
  ['wss:', 'wss:'],
])

/** The most coordinators that may stand for each other. */
export const MAX_COORDINATORS = 16
export const COORDINATORS = `must be a ws, wss, http or https URL, such as "http://127.0.0.1:8080", or up to ${MAX_COORDINATORS} of them`

/**
 * Reads the URLs of coordinators that stand for each other: a list, or a text with commas between.
 * Returns null when one of them is no such URL, or there are none, or too many.
 */
export function coordinatorAddresses(given: string | readonly string[]): readonly [Address, ...Address[]] | null {
  const texts = typeof given === 'string' ? splitUrls(given) : given
  const [first, ...more] = texts.map(coordinatorAddress).filter((address) => address !== null)
  const areAll = more.length === texts.length - 1 && texts.length <= MAX_COORDINATORS
  return first === undefined || !areAll ? null : [first, ...more]
}

/**
 * Reads a coordinator's URL: ws, wss, http or https; the path of node sessions is added where it is absent.
 * Returns null when the text is no such URL.
 */
export function coordinatorAddress(text: string): Address | null {
  if (!URL.canParse(text)) return null
  const given = new URL(text)
  const scheme = SCHEMES.get(given.protocol)
  if (scheme === undefined || given.hostname === '') return null
  const url = new URL(text.replace(/^[a-z]+:/i, scheme)) // `protocol` cannot be set from http to ws on the same object
  url.hash = ''
  const path = url.pathname.replace(/\/+$/, '')
  url.pathname = path.endsWith(NODE_PATH) ? path : `${path}${NODE_PATH}`
  return { url: url.href, host: url.host.toLowerCase(), shown: `${scheme}//${url.host}${url.pathname}` }
}
