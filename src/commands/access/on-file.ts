import { userInfo } from 'node:os'
import type { Outcome } from '../../lib/result.js'
import { viewAuditRow } from '../../store/audit.js'
import type { AuditBy } from '../../store/audit-entries.js'
import type { Beside } from '../../store/beside.js'
import { StoreError } from '../../store/open.js'
import { viewToken } from '../../store/token-changes.js'
import { kindOfRole } from '../../wire/access.js'
import { makeToken } from '../../wire/token.js'
import type { AccessCalls } from './access-calls.js'

const PAGE = 1000

/**
 * Works on the file itself: whoever may write it may do everything, so the audit names the user of the system.
 * What is refused is thrown as StoreError, with its sentence.
 * @param coordinator where nodes reach the coordinator
 */
export function onFile({ access, transaction }: Beside, coordinator: string): AccessCalls {
  const actor = `cli:${userName()}`
  const by = (): AuditBy => ({ actor, address: null, request_id: null, at_ms: Date.now() })
  const change = <T>(action: (by: AuditBy) => Outcome<T>): Promise<T> =>
    asPromise(() => {
      const outcome = transaction(() => action(by()))
      if (!outcome.ok) throw new StoreError(outcome.message)
      return outcome.value
    })

  return {
    coordinator,
    createToken: (body) =>
      asPromise(() => {
        const { token, id, hash } = makeToken(kindOfRole[body.role])
        return { ...transaction(() => access.createToken(body, { id, hash }, by())), token }
      }),
    createInvite: (body) =>
      asPromise(() => {
        const { token, id, hash } = makeToken('inv')
        return { ...transaction(() => access.createInvite(body, { id, hash }, by())), token }
      }),
    tokens: (cursor) =>
      asPromise(() => {
        const { tokens, next } = access.tokens.page(before(cursor), PAGE)
        const now = Math.floor(Date.now() / 1000)
        return {
          tokens: tokens.map((token) => viewToken(token, now)),
          next_cursor: next === null ? null : String(next),
        }
      }),
    async revokeToken(id) {
      await change((who) => access.revokeToken(id, who))
    },
    async rotateToken(id, overlap) {
      let token = ''
      const { next } = await change((who) =>
        access.rotateToken(
          id,
          (kind) => {
            const made = makeToken(kind)
            token = made.token
            return { id: made.id, hash: made.hash }
          },
          overlap,
          who,
        ),
      )
      return { ...next, token }
    },
    allowKey: (key, slots_max) => change((who) => access.allowKey(key, slots_max, who)),
    banKey: (subject, reason) => change((who) => access.banKey(subject, reason, who)),
    rekeyNode: (node_id, key) => change((who) => access.rekeyNode(node_id, key, 'operator', who)),
    audit: ({ actor = null, action = null, subject = null, cursor = null, limit }) =>
      asPromise(() => {
        const { rows, next } = access.audit.page({ actor, action, subject }, before(cursor), Number(limit))
        return { entries: rows.map(viewAuditRow), next_cursor: next === null ? null : String(next) }
      }),
    verifyAudit: (known) => asPromise(() => access.audit.verify(known)),
  }
}

const before = (cursor: string | null): number | null => (cursor === null ? null : Number(cursor))

/** The same way to fail as a call of a service. */
const asPromise = <T>(action: () => T): Promise<T> => Promise.resolve().then(action)

/** The name of the system's user, or its number where it has none, as in some containers. */
function userName(): string {
  try {
    return userInfo().username
  } catch {
    return String(process.getuid?.() ?? 'unknown')
  }
}
