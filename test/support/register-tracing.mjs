// For `node --import`: an SDK whose spans are lines of a file.
import { appendFileSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'
import { context, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'

const exporter = {
  export(spans, done) {
    for (const span of spans)
      appendFileSync(
        process.env.SPANS_FILE,
        `${JSON.stringify({ name: span.name, trace: span.spanContext().traceId, isMainThread })}\n`,
      )
    done({ code: 0 })
  },
  shutdown: async () => undefined,
}
trace.setGlobalTracerProvider(new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] }))
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
