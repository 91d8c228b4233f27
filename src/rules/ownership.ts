import type { Grant } from './access.js'
import { ANONYMOUS, type Principal } from './principal.js'

/** What a task is owned by: the address that its submitter was proven to have; null where nobody was. */
export interface Owned {
  owner_id: string | null
  user_address: string
}

/**
 * Whether a task belongs to a principal. One without a proven owner (of an open service, or of one before it knew owners)
 * belongs to the wallet that owns its `user_address`, and so does an anonymous one.
 */
export function ownsTask({ owners, wallet }: Principal, { owner_id, user_address }: Owned): boolean {
  if (owner_id !== null && owners.includes(owner_id)) return true
  return wallet && (owner_id === null || owner_id === ANONYMOUS) && owners.includes(user_address)
}

/** Whether a node is the one that a principal speaks for. */
export const ownsNode = (principal: Principal, node_id: string): boolean => principal.node_id === node_id

/**
 * The `owner_id` of a task that a principal submits for an address; undefined when it may not submit for that one. An
 * admin vouches for every address.
 */
export function ownerOf({ role, owners }: Principal, user_address: string): string | null | undefined {
  if (role === 'open') return null
  if (role === 'public') return ANONYMOUS
  return role === 'admin' || owners.includes(user_address) ? user_address : undefined
}

/** Of a task and its attempts: what was asked and answered, also in a node's words, which may repeat it; and where that is told. */
export const textFields = [
  'user_input',
  'context',
  'params',
  'output',
  'tool_calls',
  'reasoning',
  'error',
  'signed_tx',
  'callback',
] as const
/** Of a task: who submitted it, and what leads to him on the chain. */
export const submitterFields = ['user_address', 'nonce', 'txid', 'signer_public_key'] as const
/** Of a node: where it is, and whose. */
export const keyFields = ['endpoint', 'public_key', 'node_address'] as const

/** The fields of a task, a list of tasks or a node that a grant does not show. */
export const hiddenFields = ({ texts, submitter, keys }: Grant): readonly string[] => [
  ...(texts ? [] : textFields),
  ...(submitter ? [] : submitterFields),
  ...(keys ? [] : keyFields),
]

/** A view with null in the place of hidden fields, at any depth: its shape stays, so that its readers need not change. */
export function redact(view: unknown, hidden: readonly string[]): unknown {
  if (hidden.length === 0 || typeof view !== 'object' || view === null) return view
  if (Array.isArray(view)) return view.map((part) => redact(part, hidden))
  return Object.fromEntries(
    Object.entries(view).map(([key, value]) => [key, hidden.includes(key) ? null : redact(value, hidden)]),
  )
}
