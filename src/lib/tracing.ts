import type * as Api from '@opentelemetry/api'
import { version } from './version.js'

/** OpenTelemetry, as the process has set it up. */
export interface Tracing {
  api: typeof Api
  tracer: Api.Tracer
}

const NAME = 'stacks-inference-service'

/**
 * Looks for OpenTelemetry once, at the start: an SDK is registered before, by `node --import`. Null where the package of its API is not
 * installed or no SDK is registered; then nothing is traced. Never rejects: nobody's tasks wait for traces.
 */
export async function findTracing(): Promise<Tracing | null> {
  try {
    const api = await import('@opentelemetry/api')
    const provider = api.trace.getTracerProvider()
    // The API gives a tracer in any case; only a provider of its own tells that it leads nowhere.
    const tracer =
      provider instanceof api.ProxyTracerProvider
        ? provider.getDelegateTracer(NAME, version)
        : provider.getTracer(NAME, version)
    return tracer === undefined ? null : { api, tracer }
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND'))
      process.emitWarning(`nothing is traced, for OpenTelemetry cannot be used: ${String(error)}`)
    return null
  }
}
