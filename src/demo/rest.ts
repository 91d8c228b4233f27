import * as v from 'valibot'

const answer = v.object({ success: v.boolean(), data: v.unknown(), error: v.nullable(v.string()) })

/** The REST contract as a client uses it. */
export interface Rest {
  get<S extends v.GenericSchema>(path: string, data: S): Promise<v.InferOutput<S>>
  post(path: string, body: unknown): Promise<void>
}

export class RestError extends Error {}

/** @param url the service's address */
export function createRest(url: string): Rest {
  const call = async (path: string, init?: RequestInit): Promise<unknown> => {
    const response = await fetch(url + path, init)
    if (response.status === 204) return null
    const { success, data, error } = v.parse(answer, await response.json())
    if (!success) throw new RestError(`${path}: ${response.status} ${error}`)
    return data
  }
  return {
    get: async (path, data) => v.parse(data, await call(path)),
    async post(path, body) {
      await call(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
    },
  }
}
