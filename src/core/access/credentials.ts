import { toSeconds } from '../../lib/clock.js'
import type { UndoLog } from '../../lib/undo-log.js'
import type { NodeKeyRow } from '../../store/access-schema.js'
import type { Store } from '../../store/store.js'
import type { AccessState } from '../operations.js'

export interface CredentialsParts {
  store: Pick<Store, 'access' | 'dataVersion'>
  undo: UndoLog
  /** Told of a token whose row cannot be read: it opens nothing. */
  onUnreadable(tokenId: string): void
}

export type Credentials = ReturnType<typeof createCredentials>

/**
 * Tokens and keys of nodes, in memory: read at start, after a turn that changed them, and when another program has written the
 * file, such as a command beside the service.
 */
export function createCredentials({ store, undo, onUnreadable }: CredentialsParts) {
  const { access } = store
  const keys = new Map<string, NodeKeyRow>()
  let banned = false
  let state: AccessState = { tokens: [], counts: { made: 0, good: 0 } }
  /** Of the file as it was read; null when it is to be read again. */
  let version: number | null = null
  /** Whether the doors have not been told yet. */
  let news = true
  const unreadable = new Set<string>()

  /** @param wall ms */
  const read = (wall: number): void => {
    const now = toSeconds(wall)
    const { tokens, broken } = access.tokens.good(now)
    for (const id of broken) {
      if (!unreadable.has(id)) onUnreadable(id)
      unreadable.add(id)
    }
    state = { tokens, counts: access.tokens.counts(now) }
    news = true
    keys.clear()
    banned = false
    for (const row of access.nodeKeys.all()) {
      keys.set(row.public_key, row)
      banned ||= row.state === 'banned'
    }
  }

  return {
    /** @param wall ms */
    load: read,
    /** Those of a turn that has changed something; the next tick reads them. */
    changed(): void {
      version = null
    },
    /**
     * Reads everything again when that is due. Costs one pragma when it is not.
     * @param wall ms
     * @returns what is to be called once what follows from it is durable; null when nothing has changed
     */
    follow(wall: number): (() => void) | null {
      const current = store.dataVersion()
      if (current === version) return null
      read(wall)
      return () => {
        version = current
      }
    },
    /** What is known of a node's key, normalized. */
    key: (publicKey: string): NodeKeyRow | undefined => keys.get(publicKey),
    /** What a turn has changed of it. */
    setKey(row: NodeKeyRow): void {
      undo.keepEntry(keys, row.public_key)
      keys.set(row.public_key, row)
    },
    /** Whether any key is banned. */
    hasBanned: (): boolean => banned,
    /** The keys that took the place of others, by their nodes. */
    bound: (): NodeKeyRow[] => [...keys.values()].filter((k) => k.node_id !== null && k.state === 'enrolled'),
    state: (): AccessState => state,
    /** What the doors are to be told: once after each change. */
    takeNews(): AccessState | null {
      if (!news) return null
      news = false
      return state
    },
  }
}
