import * as v from 'valibot'
import type { Backend } from './backend.js'
import { createModelServer, shownUrl } from './model-server.js'
import { promptOf } from './prompt.js'

export interface GenerateOptions {
  url: string
  /** Seconds without a byte after which the server counts as hanging. Default 120. */
  stallTimeout?: number | undefined
}

const generated = v.object({ text: v.string() })
const MAX_CHECK_BYTES = 16 * 1024 * 1024

/** The simplest model server there is: `POST {"prompt"}` is answered `{"text"}`. */
export function generate({ url, stallTimeout = 120 }: GenerateOptions): Backend {
  const server = createModelServer({ shown: shownUrl(url), stallTimeout, headers: {} })
  return {
    async work(task, signal) {
      const answer = await server.open('POST', url, { prompt: promptOf(task) }, signal, task.traceparent)
      await server.requireSuccess(answer)
      return (await server.readJson(answer, generated)).text
    },
    async check(signal) {
      const answer = await server.open('GET', url, undefined, signal)
      // It need not answer a GET; that it answers is enough.
      if ([401, 403, 429, 502, 503].includes(answer.status)) await server.requireSuccess(answer)
      await server.readWhole(answer, MAX_CHECK_BYTES)
    },
  }
}
