import { channel } from 'node:diagnostics_channel'
import type { Span } from '@opentelemetry/api'
import { findTracing, type Tracing } from '../lib/tracing.js'
import { readTraceparent, writeTraceparent, type TraceParent } from '../wire/traceparent.js'
import { runWork, type RunParts } from './run-work.js'
import type { Result } from './task.js'

/** Who instruments undici listens here, and adds the header itself: two of them would count as none. */
const requests = channel('undici:request:create')

/**
 * Lets the work function make the result of an attempt, as `runWork` does: in a span of its own where its task is a part of a trace and
 * the process has a tracer; else the trace is handed on as it came.
 */
export function createTracedRun(find: () => Promise<Tracing | null> = findTracing) {
  const found = find()

  const inSpan = async ({ api, tracer }: Tracing, parent: TraceParent, parts: RunParts): Promise<Result> => {
    const { task } = parts
    const { ROOT_CONTEXT, SpanKind, SpanStatusCode, context, trace } = api
    const span = tracer.startSpan(
      `inference attempt ${task.attempt}`,
      {
        kind: SpanKind.CONSUMER,
        attributes: {
          'gen_ai.request.model': task.model_name,
          'inference.task_id': task.task_id,
          'inference.attempt': task.attempt,
        },
      },
      trace.setSpanContext(ROOT_CONTEXT, { ...parent, isRemote: true }),
    )
    const traceparent = requests.hasSubscribers ? undefined : writeTraceparent(span.spanContext())
    try {
      const result = await context.with(trace.setSpan(context.active(), span), () =>
        runWork({ ...parts, task: { ...task, traceparent } }),
      )
      tellUsage(span, result)
      span.setAttribute('inference.end', 'completed')
      return result
    } catch (error) {
      const isStopped = parts.signal.aborted
      span.setAttribute('inference.end', isStopped ? 'stopped' : 'failed')
      // Without its words: they may quote the prompt.
      if (!isStopped) span.setStatus({ code: SpanStatusCode.ERROR })
      throw error
    } finally {
      span.end()
    }
  }

  return async (parts: RunParts): Promise<Result> => {
    const { traceparent } = parts.task
    const parent = traceparent === undefined ? null : readTraceparent(traceparent)
    const tracing = parent === null ? null : await found
    return tracing === null || parent === null ? runWork(parts) : inSpan(tracing, parent, parts)
  }
}

function tellUsage(span: Span, result: Result): void {
  if (result.type !== 'task.complete' || result.usage == null) return
  span.setAttributes({
    'gen_ai.usage.input_tokens': result.usage.prompt_tokens,
    'gen_ai.usage.output_tokens': result.usage.completion_tokens,
  })
}
