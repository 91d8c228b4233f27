import * as v from 'valibot'
import type { RestClient } from '../../lib/rest-client.js'
import { createAuditCheck } from '../../wire/audit-chain.js'
import { auditPage, newTokenView, nodeKeyView, tokensPage } from '../../wire/access.js'
import type { AccessCalls } from './access-calls.js'

/** Rows of the audit in one call. */
const PAGE = '1000'

/** Asks a service, whose answers its token has to allow. */
export function overRest(client: RestClient, coordinator: string): AccessCalls {
  const said = v.string()
  const query = (parts: Record<string, string | null | undefined>): string =>
    new URLSearchParams(Object.entries(parts).filter((part): part is [string, string] => part[1] != null)).toString()
  const token = (id: string): string => `/api/v1/tokens/${encodeURIComponent(id)}`
  const node = (id: string): string => `/api/v1/nodes/${encodeURIComponent(id)}`

  return {
    coordinator,
    createToken: (body) => client.post('/api/v1/tokens', body, newTokenView),
    createInvite: (body) => client.post('/api/v1/nodes/invites', body, newTokenView),
    tokens: (cursor) => client.get(`/api/v1/tokens?${query({ cursor, limit: PAGE })}`, tokensPage),
    async revokeToken(id) {
      await client.order('DELETE', token(id), said)
    },
    rotateToken: (id, overlap) => client.post(`${token(id)}/rotate`, { overlap }, newTokenView),
    allowKey: (public_key, slots_max) => client.post('/api/v1/nodes/keys', { public_key, slots_max }, nodeKeyView),
    banKey: (subject, reason) => client.post(`${node(subject)}/ban`, { reason }, nodeKeyView),
    rekeyNode: (node_id, public_key) => client.post(`${node(node_id)}/rekey`, { public_key }, nodeKeyView),
    audit: (asked) => client.get(`/api/v1/audit?${query({ ...asked })}`, auditPage),

    /** Computes the chain here, from the rows that the service shows. */
    async verifyAudit(known) {
      const check = createAuditCheck(known)
      for (;;) {
        const after = String(check.head().seq)
        const { entries } = await client.get(`/api/v1/audit?${query({ after, limit: PAGE })}`, auditPage)
        for (const { detail, ...row } of entries) {
          const fault = check.next({ ...row, detail: JSON.stringify(detail) })
          if (fault !== null) return { head: check.head(), fault }
        }
        if (entries.length === 0) return { head: check.head(), fault: check.end(0) }
      }
    },
  }
}
