import type { AttemptRef } from './task.js'

/** What a node declares itself to be. That all its slots are in use the coordinator counts itself. */
export type DeclaredStatus = 'online' | 'maintenance'

/** Why a node has ended. */
export type NodeEnd =
  | { reason: 'drained' | 'stopped'; unsettled: number }
  | { reason: 'fatal'; unsettled: number; error: Error }

/** A session has ended, or did not begin. */
export interface DisconnectedEvent {
  type: 'disconnected'
  code: number
  reason: string
  /** Whether it had begun. */
  welcomed: boolean
  /** Whether the node itself has ended it, to say a new hello. */
  renewal: boolean
  /** null: no other follows, and the node ends. */
  retry_in: number | null
}

/** What happens to a node. None carries a prompt, an output or a key. Times in seconds. */
export type NodeEvent =
  | { type: 'connected'; session_id: string; resumed: number; dropped: number; heartbeat_interval: number }
  | DisconnectedEvent
  | { type: 'status'; status: DeclaredStatus; reason: string }
  | { type: 'models'; models: readonly string[] }
  | ({ type: 'assigned'; model_name: string; max_infer_time: number } & AttemptRef)
  | ({ type: 'rejected'; reason: string } & AttemptRef)
  /** `completion_tokens`: null where the backend says nothing of them. */
  | ({ type: 'completed'; characters: number; completion_tokens: number | null; seconds: number } & AttemptRef)
  | ({ type: 'failed'; error: string; retryable: boolean; seconds: number } & AttemptRef)
  | ({ type: 'cancelled'; reason: StopReason } & AttemptRef)
  | ({ type: 'settled'; status: string } & AttemptRef)
  | ({ type: 'refused'; code: string; message: string } & AttemptRef)
  | { type: 'draining'; by: 'node' | 'coordinator'; holds: number }
  | { type: 'warning'; message: string }
  | { type: 'stopped'; end: NodeEnd }

/** Why work on an attempt was stopped before it came to anything. */
export type StopReason =
  | 'cancelled'
  | 'timeout'
  | 'superseded'
  | 'recalled'
  | 'dropped'
  | 'stale_attempt'
  | 'not_holder'
  | 'stopped'

export type Emit = (event: NodeEvent) => void
