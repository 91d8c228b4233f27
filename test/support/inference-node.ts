import { onTestFinished } from 'vitest'
import type { NodeEvent } from '../../src/inference-node/events.js'
import { InferenceNode, type InferenceNodeOptions } from '../../src/inference-node/index.js'
import type { ServerMessage } from '../../src/wire/node.js'
import { createInbox } from './inbox.js'
import { startCoordinator } from './scripted-coordinator.js'

type OfType<T, K> = Extract<T, { type: K }>

type Given = Partial<InferenceNodeOptions> & Pick<InferenceNodeOptions, 'coordinator'>

/** A node that is stopped after the test, with its events. */
export function createNode(options: Given) {
  const events = createInbox<NodeEvent>()
  const node = new InferenceNode({
    models: ['llama-3-8b'],
    work: (task) => task.user_input,
    random: () => 0,
    onEvent: (event) => events.put(event),
    ...options,
  })
  onTestFinished(async () => void (await node.stop()))
  return {
    node,
    events: events.all,
    event: <K extends NodeEvent['type']>(type: K): Promise<OfType<NodeEvent, K>> =>
      events.take((e): e is OfType<NodeEvent, K> => e.type === type),
  }
}

export async function startNode(options: Given) {
  const parts = createNode(options)
  await parts.node.start()
  return parts
}

/** A node in session with a scripted coordinator. */
export async function connectedNode(
  options: Partial<InferenceNodeOptions> = {},
  welcome: Partial<OfType<ServerMessage, 'session.welcome'>> = {},
) {
  const coordinator = await startCoordinator()
  const parts = await startNode({ coordinator: coordinator.url, ...options })
  const session = await coordinator.welcomed(welcome)
  await parts.event('connected')
  return { coordinator, session, ...parts }
}

/** Resolves when the signal aborts. */
export const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) =>
    signal.aborted ? resolve() : signal.addEventListener('abort', () => resolve(), { once: true }),
  )

/** Work that never ends by itself, and says when it began and was stopped. */
export function endlessWork() {
  const began = createInbox<string>()
  const stopped = createInbox<string>()
  const is =
    (name: string) =>
    (value: string): value is string =>
      value === name
  return {
    began: (name: string) => began.take(is(name)),
    stopped: (name: string) => stopped.take(is(name)),
    work: async (task: { task_id: string; attempt: number }, signal: AbortSignal): Promise<string> => {
      began.put(`${task.task_id}/${task.attempt}`)
      await aborted(signal)
      stopped.put(`${task.task_id}/${task.attempt}`)
      throw new Error('stopped')
    },
  }
}
