import { join } from 'node:path'
import * as v from 'valibot'
import type { ServiceConfig } from '../../src/coordinator.js'
import { systemTime } from '../../src/lib/clock.js'
import { openBeside } from '../../src/store/beside.js'
import { kindOfRole, tokenBody } from '../../src/wire/access.js'
import { makeToken } from '../../src/wire/token.js'
import { startService, type Service } from './service.js'
import { tempDir } from './temp-dir.js'

export const OWNER = 'ST1PQHQKV0RJXZFY1DGX8MNSNYVE3VGZJSRTPGZGM'
export const OTHER = 'ST2CY5V39NHDPWSXMW9QDT3HC3GD6Q6XX4CFRK9AG'

/** What a role has to be given. */
const needed: Record<string, object> = { user: { owners: [OWNER] }, node: { node_id: 'n1' } }

/** Makes a token in the file, as a command beside the service does. @returns its text */
export function makeTokenIn(file: string, role: string, more: object = {}): string {
  const body = v.parse(tokenBody, { role, name: role, ...needed[role], ...more })
  const beside = openBeside(file)
  try {
    const { token, id, hash } = makeToken(kindOfRole[body.role])
    const by = { actor: 'cli:test', address: null, request_id: null, at_ms: Date.now() }
    beside.transaction(() => beside.access.createToken(body, { id, hash }, by))
    return token
  } finally {
    beside.close()
  }
}

export const idOf = (token: string): string => token.slice(8, 16)
export const bearer = (token: string | null): Record<string, string> =>
  token === null ? {} : { authorization: `Bearer ${token}` }

export type Caller = ReturnType<typeof as>
/** A service as the bearer of a token asks it; null: without one. */
export function as(service: Pick<Service, 'send'>, token: string | null, more: Record<string, string> = {}) {
  const send: Service['send'] = (method, path, body, headers) =>
    service.send(method, path, body, { ...bearer(token), ...more, ...headers })
  return {
    send,
    get: (path: string) => send('GET', path),
    post: (path: string, body: unknown) =>
      send('POST', path, JSON.stringify(body), { 'content-type': 'application/json' }),
  }
}

/** A service where everybody has to show who he is. `admin` is the text of a token, and `token` makes others before it starts. */
export async function startGuarded(
  settings: Partial<ServiceConfig['inference']> = {},
  make: (token: (role: string, more?: object) => string) => void = () => undefined,
  parts: Parameters<typeof startService>[2] = {},
) {
  const database_path = join(tempDir(), 'inference.db')
  const admin = makeTokenIn(database_path, 'admin')
  make((role, more) => makeTokenIn(database_path, role, more))
  const service = await startService({ database_path, ...settings }, systemTime, parts)
  return { ...service, admin, asAdmin: as(service, admin) }
}
export type Guarded = Awaited<ReturnType<typeof startGuarded>>
