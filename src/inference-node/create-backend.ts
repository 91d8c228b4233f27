import { never } from '../lib/result.js'
import { command, echo, generate, openai, type Backend } from './backends/index.js'
import { shownUrl } from './backends/model-server.js'
import type { NodeConfig } from './config.js'

/**
 * The backend of a configuration, and how it is called in logs.
 * @param env what programs get as their environment
 */
export function createBackend(
  { node, backend, apiKey }: NodeConfig,
  env: Readonly<Record<string, string | undefined>>,
): { backend: Backend; shown: string } {
  const { type, stall_timeout: stallTimeout } = backend
  switch (type) {
    case 'openai':
      return {
        backend: openai({
          baseUrl: backend.base_url,
          apiKey,
          models: node.models,
          mapping: backend.models,
          stallTimeout,
        }),
        shown: `openai at ${shownUrl(backend.base_url)}`,
      }
    case 'generate':
      return {
        backend: generate({ url: backend.url ?? '', stallTimeout }),
        shown: `generate at ${shownUrl(backend.url ?? '')}`,
      }
    case 'command':
      return {
        backend: command({ command: backend.command ?? '', args: backend.args, env }),
        shown: `command ${backend.command ?? ''}`,
      }
    case 'echo':
      return { backend: echo({ delay: backend.delay }), shown: 'echo' }
    default:
      return never(type)
  }
}
