/** Why a task waits. */
export interface Waiting {
  reason:
    | 'no_node_for_model'
    | 'no_node_online'
    | 'all_busy'
    | 'needs_feature'
    | 'waits_for_another_node'
    | 'not_covered'
    | 'next'
  explanation: string
  /** Its place in the queue of its model's family, from 1; "1000+" beyond. */
  position: number | string
}

/** What doors have to know before they ask for anything else. */
export type AskOperation =
  /** The models that nodes now there serve. */
  | { op: 'models' }
  /** Whether a node that is there serves a model, and which names are near when none does. */
  | { op: 'modelServed'; model: string }
  /** The task of an equal request of the same caller, a short while ago. */
  | { op: 'joinable'; key: string }
  /** Where a task is in its queue; null when it does not wait. */
  | { op: 'queuePlace'; task_id: string }
  /** The key that a node was registered with, as it was given; null when there is none. For a door that verifies a signature of it. */
  | { op: 'nodeKey'; node_id: string }
  /** The address that a task was submitted for; null when there is no such task. For a door that verifies its signature. */
  | { op: 'taskUser'; task_id: string }
  /** When a new task of a model is likely to find a place. */
  | { op: 'queueTime'; model: string }

export interface AskResults {
  models: { models: ServedModel[] }
  modelServed: { served: boolean; near: readonly string[] }
  joinable: { task_id: string | null }
  queuePlace: Pick<Waiting, 'position' | 'reason'> | null
  nodeKey: { public_key: string | null }
  taskUser: { user_address: string | null }
  /** Seconds. */
  queueTime: { seconds: number }
}

export interface ServedModel {
  name: string
  /** When it was seen first since the start, Unix seconds. */
  created: number
}
