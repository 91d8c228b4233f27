import type { AddressKeys } from '../lib/address.js'
import type { Hello, NodeMessage, ServerMessage } from '../wire/node.js'
import type { FrameLine } from './frame-line.js'
import type { NodeDoor } from './node-handshake.js'
import { isSigned, verifyResult, type SignedCompletion } from './result-signature.js'
import type { SocketSession } from './session.js'

/** Nothing more is read while more steps than this wait for a signature before them to be verified; a frame has up to 256. */
const MAX_WAITING = 64

/** A session, as narrow as the order of its messages needs it. */
export interface OrderedSession extends Pick<SocketSession, 'close'> {
  /** Normalized. */
  readonly key: string
  push(message: ServerMessage): void
  flush(): void
}

interface Step {
  ready: boolean
  run(): void
}

export type MessageOrder = ReturnType<typeof createMessageOrder>

/**
 * What a session does from its first signed result on: a result is verified in the thread pool before the core sees it, several at
 * once, and whatever comes after it waits behind it, so that messages stay in order.
 */
export function createMessageOrder(
  { send, guard }: Pick<NodeDoor, 'send' | 'guard'>,
  id: number,
  session: OrderedSession,
  from: AddressKeys,
  line: Pick<FrameLine, 'hold'>,
) {
  const steps: Step[] = []
  const guarded = guard.guarded((reason, text) => session.close(reason, text))

  const runReady = (): void => {
    const wasFull = steps.length > MAX_WAITING
    for (let first = steps[0]; first?.ready === true; first = steps[0]) {
      steps.shift()
      first.run()
    }
    if (wasFull && steps.length <= MAX_WAITING) line.hold(false)
  }
  const add = (step: Step): void => {
    steps.push(step)
    if (steps.length > MAX_WAITING) line.hold(true)
  }
  const deliver = (message: Exclude<NodeMessage, Hello>): void =>
    send({ op: 'nodeMessage', session: id, message }, from)
  const refuse = ({ task_id, attempt }: SignedCompletion, message: string): void => {
    send({ op: 'nodeSeen', session: id }, from)
    session.push({ type: 'error', code: 'invalid_message', message, task_id, attempt })
    session.flush()
  }

  const takeSigned = (message: SignedCompletion): void => {
    const step: Step = { ready: false, run: () => undefined }
    add(step)
    const ready = (run: () => void): void => {
      step.run = guarded(run)
      step.ready = true
      runReady()
    }
    verifyResult(session.key, message).then(
      (verified) => ready(() => (verified.ok ? deliver(verified.message) : refuse(message, verified.problem))),
      (error: unknown) =>
        ready(() => {
          throw error
        }),
    )
  }
  /** Done once everything before it is. */
  const then = (run: () => void): void => {
    if (steps.length === 0) run()
    else add({ ready: true, run: guarded(run) })
  }

  return {
    then,
    /** Delivers a message once everything before it is, and it is verified if it is signed. */
    take(message: Exclude<NodeMessage, Hello>): void {
      if (isSigned(message)) takeSigned(message)
      else then(() => deliver(message))
    },
  }
}

/** Once everything before it is done; at once where no order is kept. */
export function afterOrder(order: MessageOrder | null, run: () => void): void {
  if (order === null) run()
  else order.then(run)
}
