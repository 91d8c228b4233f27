import type { Effect, Operation } from './operations.js'

/** `unavailable`: it may be sent again. `internal`: the fault is ours. The others: who asks may not do it. */
export type RefusalCode = 'internal' | 'unavailable' | 'unauthorized' | 'forbidden'

type Of<Name extends Operation['op']> = Extract<Operation, { op: Name }>

/**
 * What sessions are told when an operation came to nothing, so that none of them waits for ever. Which of these an operation
 * takes is a column of `operationTraits`. Who awaits an outcome is told by the outcome.
 */
export const refusals = {
  /** Who called is told by the outcome; a sign of life and the end of a session need no answer. */
  outcomeOnly: (): Effect[] => [],

  /** A hello is never half done: the node comes again. */
  closeSession: ({ session }: Of<'nodeHello'>, _code: RefusalCode, message: string): Effect[] => [
    { session, close: 'tryLater', reason: message },
  ],

  tellNode({ session, message: said }: Of<'nodeMessage'>, _code: RefusalCode, message: string): Effect[] {
    const attempt = 'task_id' in said ? { task_id: said.task_id, attempt: said.attempt } : {}
    return [{ session, message: { type: 'error', code: 'internal', message, ...attempt } }]
  },

  tellEachSubmission: ({ session, list }: Of<'clientSubmissions'>, code: RefusalCode, message: string): Effect[] =>
    list.map(({ ref }) => ({ session, message: { type: 'error', code, message, ref } })),

  tellClient: ({ session, message: said }: Of<'clientMessage'>, code: RefusalCode, message: string): Effect[] => [
    { session, message: { type: 'error', code, message, task_id: said.task_id } },
  ],
}
