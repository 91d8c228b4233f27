import { toSeconds } from '../lib/clock.js'
import { done, refuse, type Outcome } from '../lib/result.js'
import { normalizeKey } from '../wire/keys.js'
import type { NodeKeyRow } from './access-schema.js'
import type { AuditTable } from './audit.js'
import type { AuditBy } from './audit-entries.js'
import type { NodeKeyTable } from './node-keys.js'
import type { TokenTable } from './tokens.js'

export interface EnrolmentParts {
  tokens: TokenTable
  nodeKeys: NodeKeyTable
  audit: AuditTable
}

/** Lets keys of nodes in, and keeps them out. */
export function createEnrolment({ tokens, nodeKeys, audit }: EnrolmentParts) {
  const changed = (key: string, given: Partial<NodeKeyRow>, by: AuditBy): NodeKeyRow => {
    const now = toSeconds(by.at_ms)
    const row = {
      node_id: null,
      invited_by: null,
      slots_max: null,
      reason: null,
      replaced_by: null,
      first_seen: now,
      good_results: 0,
      good_since: null,
      ...nodeKeys.get(key),
      state: 'enrolled' as const,
      ...given,
      public_key: key,
      changed_at: now,
      changed_by: by.actor,
    }
    nodeKeys.save(row)
    return row
  }
  const withKey = <T>(text: string, then: (key: string) => Outcome<T>): Outcome<T> => {
    const key = normalizeKey(text)
    return key === null
      ? refuse('invalid_request', 'public_key: must be a secp256k1 public key, 33 or 65 bytes in hex')
      : then(key)
  }

  return {
    /** Lets a key in, also one that was banned. @param text of the key, any form */
    allowKey: (text: string, slots_max: number | null, by: AuditBy): Outcome<NodeKeyRow> =>
      withKey(text, (key) => {
        const was = nodeKeys.get(key)?.state ?? 'unknown'
        // One that was banned comes back as any other: its node may have another key by now.
        const anew = was === 'enrolled' ? {} : { node_id: null, invited_by: by.actor, reason: null, replaced_by: null }
        const row = changed(key, { ...anew, slots_max }, by)
        audit.append({ action: 'node.allowed', subject: key, detail: { slots_max, was } }, by)
        return done(row)
      }),

    /**
     * Lets a key in by an invite, of which one use is taken.
     * @param key normalized, proven by its hello
     * @returns refused when the invite is not good any more, or the key is banned
     */
    enrolKey(key: string, node_id: string, invite: string, by: AuditBy): Outcome<NodeKeyRow> {
      const known = nodeKeys.get(key)
      if (known?.state === 'enrolled') return done(known)
      if (known?.state === 'banned') return refuse('forbidden', 'this key is banned')
      const token = tokens.get(invite)
      if (token === undefined || !tokens.use(invite, toSeconds(by.at_ms)))
        return refuse(
          'forbidden',
          'invite: it is used up, has expired or was revoked; ask the operator for another one',
        )
      const row = changed(key, { invited_by: invite, slots_max: token.limits.slots_max ?? null }, by)
      audit.append({ action: 'node.enrolled', subject: key, detail: { node_id, invite } }, by)
      return done(row)
    },

    /**
     * Keeps a key out for good. @param subject a node_id, whose proven key is meant, or a key. A key that nobody has
     * proven is banned only when it is named: anybody can register a node with somebody else's.
     */
    banKey(subject: string, reason: string | null, by: AuditBy): Outcome<NodeKeyRow> {
      const named = normalizeKey(subject)
      const key = named ?? nodeKeys.keyOf(subject)
      if (key === null) return refuseUnproven(subject)
      const row = changed(key, { state: 'banned', reason }, by)
      audit.append(
        { action: 'node.banned', subject: key, detail: { node_id: named === null ? subject : row.node_id, reason } },
        by,
      )
      return done(row)
    },

    /**
     * Puts another key in the place of a node's, which is banned from then on. The node keeps its name and what is known of it.
     * @param text of the new key, any form
     */
    rekeyNode: (node_id: string, text: string, how: 'operator' | 'old key', by: AuditBy): Outcome<NodeKeyRow> =>
      withKey(text, (key) => {
        const old = nodeKeys.keyOf(node_id)
        if (old === null) return refuseUnproven(node_id)
        if (old === key) return refuse('conflict', `${node_id} has this key already; nothing was changed`)
        const known = nodeKeys.get(key)
        if (known?.state === 'banned')
          return refuse('conflict', 'public_key: this key is banned; make another one, or allow it first')
        if (known !== undefined && known.node_id !== null)
          return refuse('conflict', `public_key: this key is that of ${known.node_id}; make another one`)
        const { invited_by = by.actor, slots_max = null } = nodeKeys.get(old) ?? {}
        changed(old, { state: 'banned', reason: 'replaced', replaced_by: key }, by)
        const row = changed(key, { node_id, invited_by, slots_max }, by)
        audit.append({ action: 'node.rekeyed', subject: node_id, detail: { old_key: old, new_key: key, by: how } }, by)
        return done(row)
      }),
  }

  function refuseUnproven(node_id: string): Outcome<never> {
    return nodeKeys.isKnown(node_id)
      ? refuse('conflict', `node_id: ${node_id} has proven no key; revoke the token it uses, or name its key`)
      : refuse('node_not_registered', `node_id: there is no node ${node_id}`)
  }
}
