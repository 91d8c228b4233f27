import { createKinds, createMeasure } from './measures.js'

/** Upper bounds of the buckets. Seconds, but for operations. */
export const doorBounds = {
  request: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  turn: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1],
  operations: [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500],
  fsync: [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1],
} as const

const counter = () => ({ n: 0 })
/** What it is that is counted by its status: of more methods nothing has to be known. */
const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'DELETE', 'OPTIONS'])
/** A route that takes submissions. */
const SUBMISSION = /^\/(?:api\/v1\/tasks(?:\/submit|\/batch)?|v1\/(?:chat\/completions|completions|embeddings))(?:\?|$)/
/** The codes that a WebSocket may close with, and those of ours. */
const isKnownClose = (code: number): boolean => (code >= 1000 && code <= 1015) || (code >= 4400 && code <= 4599)

export type SessionKind = 'node' | 'client'
export type DoorFigures = ReturnType<typeof createDoorFigures>

/** What the doors count since the start. No label is anything that a stranger chooses. */
export function createDoorFigures() {
  const requests = createKinds<[route: string, method: string, status: string], ReturnType<typeof createMeasure>>(() =>
    createMeasure(doorBounds.request),
  )
  const refused = createKinds<[code: string], { n: number }>(counter)
  const closed = createKinds<[kind: SessionKind, code: string], { n: number }>(counter)
  const connections = createKinds<[limit: string], { n: number }>(counter)
  const callbacks = createKinds<[outcome: string], { n: number }>(counter)
  const sessions: Record<SessionKind, number> = { node: 0, client: 0 }
  const turn = createMeasure(doorBounds.turn)
  const operations = createMeasure(doorBounds.operations)
  const fsync = createMeasure(doorBounds.fsync)

  return {
    requests,
    refused,
    closed,
    connections,
    callbacks,
    sessions,
    turn,
    operations,
    fsync,

    /** A submission was refused. */
    countRefused: (code: string): void => void refused.of(code).n++,
    /** A request was answered. @param route its pattern; null: none was found for it @param ms since it came */
    answered(route: string | null, method: string, url: string, status: number, code: string | null, ms: number): void {
      requests.of(route ?? 'none', METHODS.has(method) ? method : 'other', String(status)).observe(ms / 1000)
      // A node that fails, and time that is over, are no refusals.
      const isRefusal = code !== null && (status === 503 || (status >= 400 && status < 500))
      if (isRefusal && method === 'POST' && SUBMISSION.test(url)) refused.of(code).n++
    },
    /** A connection was closed before anything was read. @param limit whose it was */
    refusedConnection: (limit: string): void => void connections.of(limit).n++,
    opened: (kind: SessionKind): void => void sessions[kind]++,
    ended(kind: SessionKind, code: number): void {
      sessions[kind]--
      closed.of(kind, isKnownClose(code) ? String(code) : 'other').n++
    },
    /** A turn of the core. ms */
    measured(took: { all: number; commit: number }, count: number): void {
      turn.observe(took.all / 1000)
      operations.observe(count)
      if (took.commit > 0) fsync.observe(took.commit / 1000)
    },
    /** A try of a callback has ended. */
    calledBack: (outcome: string): void => void callbacks.of(outcome).n++,
  }
}
