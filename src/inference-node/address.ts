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
