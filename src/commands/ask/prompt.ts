import { ConfigError } from '../../lib/config-error.js'

/** How a question is written in a submission. */
export interface PromptFields {
  user_input: string
  context: string
  params?: Record<string, unknown>
}

/**
 * The parameters of the generation, of each `--param NAME=VALUE`: a value is JSON, else text.
 * @throws ConfigError when one has no name
 */
export function paramsOf(rawArgs: readonly string[]): Record<string, unknown> {
  const given = rawArgs.flatMap((word, i) =>
    word === '--param' ? [rawArgs[i + 1] ?? ''] : word.startsWith('--param=') ? [word.slice('--param='.length)] : [],
  )
  return Object.fromEntries(
    given.map((one) => {
      const [, name = '', value = ''] = /^([^=]+)=(.*)$/s.exec(one) ?? []
      if (name === '')
        throw new ConfigError(`--param: must be NAME=VALUE, such as temperature=0.2, not ${JSON.stringify(one)}`)
      return [name, valueOf(value)]
    }),
  )
}

function valueOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return text
  }
}

/** A question, and what is said before it. Without parameters every node understands it. */
export function promptFields(question: string, system: string, params: Record<string, unknown>): PromptFields {
  // A context in brackets may be taken for the earlier turns of a chat.
  const messages = system.trimStart().startsWith('[')
    ? {
        messages: [
          { role: 'system', content: system },
          { role: 'user', content: question },
        ],
      }
    : {}
  const all = { ...messages, ...params }
  return {
    user_input: question,
    context: 'messages' in messages ? '' : system,
    ...(Object.keys(all).length === 0 ? {} : { params: all }),
  }
}
