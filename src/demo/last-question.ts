import type OpenAI from 'openai'
import { InferenceClient } from '../client/index.js'

const MODEL = 'gemma-2-9b'
const QUESTION = 'What is left to ask?'
/** The longest that the answer may take, ms. */
const LIMIT_MS = 45_000

type Official = typeof OpenAI

/** The official client of OpenAI's API, which a clone of the repository has; null where the package was installed without it. */
async function findOpenAi(): Promise<Official | null> {
  try {
    return (await import('openai')).default
  } catch {
    return null
  }
}

export interface LastQuestionParts {
  url: string
  /** Whose task it is where the service does not say it. */
  user: string
  say(line: string): void
  /** A piece of the answer. */
  onText(piece: string): void
  find?: () => Promise<Official | null>
}

/**
 * Asks one question as anybody's program would, word by word: with the official client of OpenAI's API where it is installed, else with
 * the client library of this package.
 * @returns what is wrong with the answer; null when nothing is
 */
export async function askLast({
  url,
  user,
  say,
  onText,
  find = findOpenAi,
}: LastQuestionParts): Promise<string | null> {
  const Official = await find()
  const signal = AbortSignal.timeout(LIMIT_MS)
  let answer = ''
  const take = (piece: string): void => {
    answer += piece
    onText(piece)
  }
  if (Official !== null) {
    const baseURL = `${url}/v1`
    say(`one question more, with the official openai client and nothing but baseURL: ${baseURL}`)
    const client = new Official({ baseURL, apiKey: 'none', maxRetries: 0 })
    const messages = [{ role: 'user' as const, content: QUESTION }]
    const stream = await client.chat.completions.create({ model: MODEL, messages, stream: true }, { signal })
    for await (const chunk of stream) take(chunk.choices[0]?.delta.content ?? '')
  } else {
    say('one question more, with the client library of this package (npm install openai, and the demo asks with that)')
    const client = new InferenceClient({ url })
    const task = { user_address: user, user_input: QUESTION, model_name: MODEL, infer_fee: 0, max_infer_time: 30 }
    for await (const piece of client.stream(task, { signal })) take(piece)
    await client.close()
  }
  onText('\n')
  // The official client ends a stream that was given up as if it were over.
  if (signal.aborted) return `the last question was not answered within ${LIMIT_MS / 1000} s`
  return answer.includes(QUESTION) ? null : `the last question has another answer: ${answer}`
}
