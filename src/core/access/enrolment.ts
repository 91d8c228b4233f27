import { done, refuse, type Outcome } from '../../lib/result.js'
import { isGood, tokenState } from '../../rules/tokens.js'
import { toSeconds } from '../../lib/clock.js'
import { normalizeKey } from '../../wire/keys.js'
import { hashToken, parseToken, sameHash } from '../../wire/token.js'
import type { Context } from '../context.js'

/** Who comes with a key that it has proven. */
export interface Comer {
  node_id: string
  /** Normalized. */
  key: string
  /** The text of an invite; null without one. */
  invite: string | null
  address: string | null
}

/** A node that was let in. */
export interface Enrolled {
  /** The most tasks that it may have at once; null: as many as any. */
  slots_max: number | null
}

export type Enrolment = ReturnType<typeof createEnrolment>

const FREE: Enrolled = { slots_max: null }

/** Which keys of nodes are let in. A key that is banned never is; where authentication is off, every other one is. */
export function createEnrolment(ctx: Context) {
  const { store, credentials, options } = ctx
  const { enrolment } = options.access

  /** The id of the invite, when it is good. */
  const inviteOf = (text: string): Outcome<string> => {
    const id = parseToken(text)?.id
    const token = id === undefined ? undefined : store.access.tokens.get(id)
    if (token === undefined || token.kind !== 'inv' || !sameHash(token.hash, hashToken(text)))
      return refuse('unauthorized', 'invite: is not known here; check that it was copied whole')
    const now = toSeconds(ctx.wall)
    return isGood(token, now)
      ? done(token.id)
      : refuse('unauthorized', `invite: is ${tokenState(token, now)}; ask the operator for another one`)
  }

  const enrol = ({ node_id, key, invite, address }: Comer, text: string): Outcome<Enrolled> => {
    const id = inviteOf(text)
    if (!id.ok) return id
    const by = { actor: `node:${node_id}`, address, request_id: null, at_ms: Math.floor(ctx.wall) }
    const row = store.access.enrolKey(key, node_id, id.value, by)
    if (!row.ok) return row
    credentials.setKey(row.value)
    ctx.log('info', 'node.enrolled', { node_id, invite: invite === null ? '' : id.value })
    return done({ slots_max: row.value.slots_max })
  }

  return {
    /** Lets a key in, or says why not. */
    admit(comer: Comer): Outcome<Enrolled> {
      const known = credentials.key(comer.key)
      if (known?.state === 'banned') {
        return refuse(
          'forbidden',
          known.replaced_by === null
            ? `this key is banned here${known.reason === null ? '' : ` (${known.reason})`}; ask the operator`
            : 'another key has taken the place of this one; use that',
        )
      }
      const other = known?.node_id ?? comer.node_id
      if (other !== comer.node_id) return refuse('forbidden', `this key is that of node ${other}; use that node_id`)
      if (known !== undefined) return done({ slots_max: known.slots_max })
      if (!ctx.access.isOn() || enrolment === 'open') return done(FREE)
      if (enrolment === 'list')
        return refuse('forbidden', 'this service takes the nodes that its operator has allowed: "nodes allow KEY"')
      return comer.invite === null
        ? refuse(
            'forbidden',
            'this service takes nodes that were invited: ask its operator for an invite, and give it with --invite',
          )
        : enrol(comer, comer.invite)
    },
    /** Whether a key is banned, however it is written; what is no key is not. */
    isBanned(text: string): boolean {
      if (!credentials.hasBanned()) return false
      const known = credentials.key(text) ?? credentials.key(normalizeKey(text) ?? '')
      return known?.state === 'banned'
    },
  }
}
