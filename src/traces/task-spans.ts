import type { Attributes, Link } from '@opentelemetry/api'
import type { TaskTrace, TracedAttempt } from '../core/watching/reports.js'
import type { Tracing } from '../lib/tracing.js'
import { readTraceparent } from '../wire/traceparent.js'

const isBad = (status: TaskTrace['status']): boolean => status === 'failed' || status === 'timeout'

/** What nodes say of an attempt is in it, but no word of theirs: it may quote the prompt. */
const attributesOf = (model: string, a: TracedAttempt): Attributes => ({
  'gen_ai.request.model': model,
  'inference.node_id': a.node_id,
  'inference.attempt': a.attempt,
  ...(a.end === null ? {} : { 'inference.end': a.end }),
  ...(a.fault === null ? {} : { 'inference.fault': a.fault }),
  ...(a.prompt_tokens === null ? {} : { 'gen_ai.usage.input_tokens': a.prompt_tokens }),
  ...(a.completion_tokens === null ? {} : { 'gen_ai.usage.output_tokens': a.completion_tokens }),
})

/**
 * Tells a task that has ended as spans, from the times that were stored: `task`, and in it a `wait` before each attempt and the attempts,
 * each with links to those before it.
 * @returns tells one
 */
export function createTaskSpans({ api, tracer }: Tracing) {
  const { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } = api

  return ({ task_id, traceparent, model_name, status, queued_ms, ended_ms, attempts }: TaskTrace): void => {
    const parent = readTraceparent(traceparent)
    if (parent === null) return
    const above = trace.setSpanContext(ROOT_CONTEXT, { ...parent, isRemote: true })
    const end = Math.max(queued_ms, ended_ms)
    const attributes = { 'gen_ai.request.model': model_name, 'inference.task_id': task_id, 'inference.status': status }
    const task = tracer.startSpan(
      'task',
      { kind: SpanKind.PRODUCER, startTime: new Date(queued_ms), attributes },
      above,
    )
    const inside = trace.setSpan(above, task)

    const wait = (from: number, to: number): void => {
      // A late result ends its attempt after the next one has begun.
      if (to >= from) tracer.startSpan('wait', { startTime: new Date(from) }, inside).end(new Date(to))
    }
    const earlier: Link[] = []
    let since = queued_ms
    for (const attempt of attempts) {
      const { assigned_ms, accepted_ms, first_word_ms, ended_ms: over } = attempt
      wait(since, assigned_ms)
      const span = tracer.startSpan(
        `attempt ${attempt.attempt}`,
        {
          kind: SpanKind.CONSUMER,
          startTime: new Date(assigned_ms),
          attributes: attributesOf(model_name, attempt),
          links: [...earlier],
        },
        inside,
      )
      earlier.push({ context: span.spanContext() })
      span.addEvent('offered', new Date(assigned_ms))
      if (accepted_ms !== null) span.addEvent('accepted', new Date(accepted_ms))
      if (first_word_ms !== null) span.addEvent('first word', new Date(first_word_ms))
      if (attempt.fault !== null) span.setStatus({ code: SpanStatusCode.ERROR })
      since = over ?? end
      span.end(new Date(since))
    }
    // It ended while it waited.
    if (end > since) wait(since, end)
    if (isBad(status)) task.setStatus({ code: SpanStatusCode.ERROR })
    task.end(new Date(end))
  }
}
