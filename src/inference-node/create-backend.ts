import { never } from '../lib/result.js'
import { command, echo, generate, openai, type Backend } from './backends/index.js'
import { shownUrl } from './backends/model-server.js'
import type { NodeConfig } from './config.js'

/** What every program gets of the node's environment. The rest may hold keys, and is no business of a program. */
const PROGRAM_VARIABLES = ['PATH', 'HOME', 'LANG']
/** Without these no program starts on Windows. */
const WINDOWS_VARIABLES = ['SystemRoot', 'PATHEXT', 'TEMP', 'USERPROFILE']

type Environment = Readonly<Record<string, string | undefined>>

const pick = (env: Environment, names: readonly string[]): Environment =>
  Object.fromEntries(names.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]])))

/**
 * The backend of a configuration, and how it is called in logs.
 * @param env the node's environment; programs get what they need of it, and what `backend.env` names
 * @param onNotice told what is good to know of the backend and stops nothing
 */
export function createBackend(
  { backend, apiKey }: NodeConfig,
  env: Environment,
  onNotice: (text: string) => void = () => undefined,
): { backend: Backend; shown: string } {
  const { type, stall_timeout: stallTimeout } = backend
  switch (type) {
    case 'openai':
      return {
        backend: openai({
          baseUrl: backend.base_url,
          apiKey,
          mapping: backend.models,
          stallTimeout,
          tools: backend.tools,
          images: backend.images,
          embeddings: backend.embeddings,
          onNotice,
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
        backend: command({
          command: backend.command ?? '',
          args: backend.args,
          env: pick(env, [
            ...PROGRAM_VARIABLES,
            ...(process.platform === 'win32' ? WINDOWS_VARIABLES : []),
            ...backend.env,
          ]),
        }),
        shown: `command ${backend.command ?? ''}`,
      }
    case 'echo':
      return { backend: echo({ delay: backend.delay }), shown: 'echo' }
    default:
      return never(type)
  }
}
