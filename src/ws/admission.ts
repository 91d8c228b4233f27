import type { IncomingMessage } from 'node:http'
import type { AddressKeys } from '../lib/address.js'
import { createBudget } from '../lib/budget.js'
import { createAddressRate } from '../lib/rate.js'
import { refuse, type Refusal } from '../lib/result.js'
import { CLIENT_PATH, CLIENT_PROTOCOL } from '../wire/client-answers.js'
import { NODE_PATH, NODE_PROTOCOL } from '../wire/node.js'

/** Where sessions begin, and what is spoken there. */
export const protocols: ReadonlyMap<string, string> = new Map([
  [NODE_PATH, NODE_PROTOCOL],
  [CLIENT_PATH, CLIENT_PROTOCOL],
])
export const pathOf = (request: IncomingMessage): string => (request.url ?? '').split('?')[0] ?? ''

export interface AdmissionParts {
  maxSessions: number
  maxSessionsPerAddress: number
  maxUpgradesPerSecond: number
  /** ms, monotonic */
  now: () => number
}

/** Which upgrades become sessions: those that speak our protocols, as far as there is room for them. */
export function createAdmission({ maxSessions, maxSessionsPerAddress, maxUpgradesPerSecond, now }: AdmissionParts) {
  const places = createBudget({ address: maxSessionsPerAddress, service: maxSessions })
  const upgrades = createAddressRate(maxUpgradesPerSecond, now)

  const wrongProtocol = (request: IncomingMessage): Refusal | null => {
    const path = pathOf(request)
    const protocol = protocols.get(path)
    if (protocol === undefined)
      return refuse(
        'not_found',
        `there are no sessions at ${path}; nodes connect at ${NODE_PATH}, submitters at ${CLIENT_PATH}`,
      )
    const offered = request.headers['sec-websocket-protocol']?.split(',').map((p) => p.trim())
    return offered === undefined || offered.includes(protocol)
      ? null
      : refuse('invalid_request', `Sec-WebSocket-Protocol: this service speaks ${protocol} only here`)
  }
  const noRoom = (keys: AddressKeys): Refusal | null => {
    switch (places.take(keys, 1)) {
      case null:
        return null
      case 'address':
        return refuse(
          'rate_limited',
          `your address has ${maxSessionsPerAddress} sessions, the most one may have (max_sessions_per_address); close one, and use those that are open for more`,
        )
      case 'service':
        return refuse('unavailable', `the service has ${maxSessions} sessions, the most it takes; connect again later`)
    }
  }

  return {
    /** Why a request does not become a session; null when it may, and has its place. */
    refusal(request: IncomingMessage, keys: AddressKeys, stopping: boolean): Refusal | null {
      const wrong = wrongProtocol(request)
      if (wrong !== null) return wrong
      if (stopping) return refuse('stopping', 'the service is stopping; connect again in a few seconds')
      if (!upgrades(keys))
        return refuse(
          'rate_limited',
          `more than ${maxUpgradesPerSecond} sessions a second were opened from your address (max_upgrades_per_second); wait a little longer each time`,
        )
      return noRoom(keys)
    },
    /** A session has ended, or never began: its place is free. */
    release: (keys: AddressKeys): void => places.give(keys, 1),
  }
}
