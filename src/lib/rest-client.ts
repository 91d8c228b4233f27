import * as v from 'valibot'

/** A service as its REST contract shows it to a client. Every call throws RestError. */
export interface RestClient {
  get<S extends v.GenericSchema>(path: string, data: S): Promise<v.InferOutput<S>>
  post<S extends v.GenericSchema>(path: string, body: unknown, data: S): Promise<v.InferOutput<S>>
  /** A call without a body. */
  order<S extends v.GenericSchema>(method: 'POST' | 'DELETE', path: string, data: S): Promise<v.InferOutput<S>>
}

/** The service was not reached, or refused: the message is one sentence for a person. */
export class RestError extends Error {}

/** How long a call waits for its answer, ms. */
const TIMEOUT_MS = 30_000

const envelope = v.object({ success: v.boolean(), data: v.unknown(), error: v.nullable(v.string()) })

/** @param base the service's address, such as `http://127.0.0.1:8080`, with a path where a proxy adds one */
export function createRestClient(base: string): RestClient {
  const url = base.replace(/\/+$/, '')
  const foreign = (): RestError =>
    new RestError(
      `${url} answers, but not as this inference service does; check the address, and that both have the same version`,
    )

  const call = async (path: string, init: RequestInit): Promise<unknown> => {
    let status: number
    let text: string
    try {
      const response = await fetch(url + path, { ...init, signal: AbortSignal.timeout(TIMEOUT_MS) })
      status = response.status
      text = await response.text()
    } catch (error) {
      throw new RestError(
        `${url} cannot be reached (${reasonOf(error)}); start the service, or give its address with --url`,
        { cause: error },
      )
    }
    if (status === 204) return null
    const answer = v.safeParse(v.pipe(v.string(), v.parseJson(), envelope), text)
    if (!answer.success) throw status >= 500 ? new RestError(`${url} answers ${status}; try again later`) : foreign()
    if (!answer.output.success) throw new RestError(answer.output.error ?? `${url} answers ${status} without a reason`)
    return answer.output.data
  }
  const read = <S extends v.GenericSchema>(schema: S, data: unknown): v.InferOutput<S> => {
    const parsed = v.safeParse(schema, data)
    if (!parsed.success) throw foreign()
    return parsed.output
  }
  return {
    get: async (path, data) => read(data, await call(path, {})),
    post: async (path, body, data) =>
      read(
        data,
        await call(path, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(body),
        }),
      ),
    order: async (method, path, data) => read(data, await call(path, { method })),
  }
}

/** Why fetch gave up: its own message says no more than that it did. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.name === 'TimeoutError') return `no answer within ${TIMEOUT_MS / 1000} s`
  const { cause } = error
  if (!(cause instanceof Error)) return error.message
  return cause.message !== '' ? cause.message : 'code' in cause ? String(cause.code) : error.message
}
