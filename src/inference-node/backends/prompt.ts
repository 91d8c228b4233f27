import * as v from 'valibot'
import type { NodeTask } from '../task.js'

const turns = v.array(v.object({ role: v.picklist(['system', 'developer', 'user', 'assistant']), content: v.string() }))
export type ChatMessage = v.InferOutput<typeof turns>[number]

/** One text for backends that know no messages: the context, a blank line, the input. */
export function promptOf({ context, user_input }: NodeTask): string {
  return context === '' ? user_input : `${context}\n\n${user_input}`
}

/** The messages of a task whole, as they were given; without any, those that its context and input make. */
export function questionOf(task: NodeTask): readonly unknown[] {
  const given = task.params?.['messages']
  return Array.isArray(given) && given.length > 0 ? given : messagesOf(task)
}

/** What a node and its model server settle between them: nothing of it is the submitter's. */
const OWN_PARAMS = ['model', 'messages', 'stream', 'stream_options', 'n']

/** The other parameters of a task, for the body of a call. @param without more that are left out */
export const paramsOf = ({ params = {} }: NodeTask, without: readonly string[] = []): Record<string, unknown> =>
  Object.fromEntries(Object.entries(params).filter(([name]) => !OWN_PARAMS.includes(name) && !without.includes(name)))

/** The messages of a chat: a context that is a JSON array of `{role, content}` is the earlier ones, any other the system's. */
export function messagesOf({ context, user_input }: NodeTask): ChatMessage[] {
  const question: ChatMessage = { role: 'user', content: user_input }
  if (context.trim() === '') return [question]
  return [...(earlierTurns(context) ?? [{ role: 'system', content: context }]), question]
}

function earlierTurns(context: string): ChatMessage[] | null {
  if (!context.trimStart().startsWith('[')) return null
  try {
    const parsed = v.safeParse(turns, JSON.parse(context))
    return parsed.success ? parsed.output : null
  } catch {
    return null // a text that begins with a bracket
  }
}
