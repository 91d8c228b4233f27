import type { TaskErrorCode } from '../../wire/fields.js'

/** What a model server says when it does not do what it was asked for. */
export interface Refusal {
  status: number
  /** In its own words, which may quote the prompt. */
  text: string
  /** Whether the following come from an error in the form of OpenAI's API, or of one like it. */
  isStructured: boolean
  code?: unknown
  type?: unknown
  /** The parameter that is wrong. */
  param?: unknown
}

/** Of these the body says what they are about. Some servers answer 500 for a context that is too long. */
const ABOUT_TASK_STATUSES = [400, 413, 422, 500]
const TOO_LONG_CODES: readonly unknown[] = ['context_length_exceeded', 'exceed_context_size_error']
/** As OpenAI, vLLM, SGLang, llama.cpp, Ollama, LM Studio and OpenRouter say it. */
const TOO_LONG = [
  /maximum (?:context|model) length/i,
  /context (?:length|window) (?:of|is|exceeded)/i,
  /exceeds? (?:the |its )?(?:model's )?(?:available |maximum )?context (?:size|length|window)/i,
  /longer than the (?:model's |maximum )?context (?:length|size|window)/i,
  /prompt is too long: \d+ tokens/i,
]
const FILTER_CODES: readonly unknown[] = ['content_filter', 'content_policy_violation']

/**
 * What is wrong with the task itself, so that no other server of the model would take it; null where that is not said. A prompt
 * that is quoted can at most fail its own task.
 */
export function taskFaultOf({ status, text, code, type }: Refusal): TaskErrorCode | null {
  if (!ABOUT_TASK_STATUSES.includes(status)) return null
  if (FILTER_CODES.includes(code) || FILTER_CODES.includes(type)) return 'content_filter'
  if (TOO_LONG_CODES.includes(code) || TOO_LONG_CODES.includes(type) || TOO_LONG.some((form) => form.test(text)))
    return 'context_length_exceeded'
  return status === 413 ? 'too_large' : null
}

/** What the node adds to every call is not the task's fault. */
const OWN_PARAMS = ['model', 'stream', 'stream_options', 'n']

/** Whether the server names a parameter of the task that it cannot take. */
export const isAboutParameter = ({ status, isStructured, param }: Refusal): boolean =>
  (status === 400 || status === 422) &&
  isStructured &&
  typeof param === 'string' &&
  param !== '' &&
  !OWN_PARAMS.some((own) => param === own || param.startsWith(`${own}.`))
