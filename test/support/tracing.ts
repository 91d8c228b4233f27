import { context, trace, type HrTime, type SpanContext } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'
import { until } from './wait.js'

const exporter = new InMemorySpanExporter()
trace.setGlobalTracerProvider(
  new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })], spanLimits: { linkCountLimit: 128 } }),
)
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())

const hex = (bytes: number): string => Buffer.from(crypto.getRandomValues(new Uint8Array(bytes))).toString('hex')

/** A trace that somebody else has begun, who listens to what else is told of it. Whoever imports this has an SDK registered. */
export function beginTrace(flags = '01') {
  const [traceId, spanId] = [hex(16), hex(8)]
  const spans = () => exporter.getFinishedSpans().filter((span) => span.spanContext().traceId === traceId)
  return {
    traceId,
    spanId,
    traceparent: `00-${traceId}-${spanId}-${flags}`,
    /** Those that have ended, in that order. */
    spans,
    /** The first of this name, when it has ended. */
    span: (name: string) => until(() => spans().find((span) => span.name === name), `the span ${name}`),
  }
}

/** Unix ms. */
export const msOf = ([seconds, nanos]: HrTime): number => seconds * 1000 + nanos / 1e6

/** As a header names it. */
export const headerOf = ({ traceId, spanId, traceFlags }: SpanContext): string =>
  `00-${traceId}-${spanId}-0${traceFlags}`
