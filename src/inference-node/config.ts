import { join } from 'node:path'
import * as v from 'valibot'
import { ConfigError } from '../lib/config-error.js'
import { host, port } from '../lib/setting-fields.js'
import { described, describeSettings, parseSettings, readToml, seconds, type SettingDoc } from '../lib/settings.js'
import { id, models, share, shortText, slots } from '../wire/fields.js'
import { parseToken } from '../wire/token.js'
import { coordinatorAddress } from './address.js'
import { DEFAULT_BASE_URL } from './backends/openai.js'

const toggle = (fallback: boolean, description: string) =>
  described(v.optional(v.boolean('must be true or false'), fallback), description)

const path = (fallback: string, description: string) =>
  described(v.optional(v.pipe(v.string('must be a path'), v.minLength(1, 'must be a path')), fallback), description)

const COORDINATOR = 'must be a ws, wss, http or https URL, such as "http://127.0.0.1:8080"'
const INVITE = 'must be an invite, copied whole: sis_inv_ and 46 letters and digits'
const HTTP_URL = 'must be an http or https URL'
const isHttp = (text: string): boolean => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)
const httpUrl = v.pipe(v.string(HTTP_URL), v.check(isHttp, HTTP_URL))
const VARIABLE = 'must be the name of an environment variable'
const VARIABLES = 'must be a list of names of environment variables'
const variable = v.pipe(v.string(VARIABLE), v.regex(/^[A-Za-z_][A-Za-z0-9_]*$/, VARIABLE))
const PROGRAM = 'must be a program: a path, or a name in PATH'
const DEFAULT_KEY_VARIABLE = 'OPENAI_API_KEY'
const mapping = v.record(
  v.string(),
  v.pipe(v.string("must be the server's name of a model"), v.minLength(1, "must be the server's name of a model")),
  'must be a section of model names',
)

export const backendTypes = ['openai', 'generate', 'command', 'echo'] as const

export const nodeSettings = v.strictObject({
  coordinator: described(
    v.optional(
      v.pipe(
        v.string(COORDINATOR),
        v.check((text) => coordinatorAddress(text) !== null, COORDINATOR),
      ),
    ),
    "The coordinator's URL: ws, wss, http or https. Required, here or as --coordinator.",
  ),
  node_id: described(
    v.optional(id),
    'The name of the node at the coordinator. Default: node- and 16 hex digits, made from its key.',
  ),
  key_file: path(
    './data/node.key',
    'The private key of the node, PEM; made on first use. Keep it: whoever has it owns the node_id.',
  ),
  state_dir: path(
    './data/node',
    'Where results are kept until the coordinator has settled them. One running node has it for itself.',
  ),
  take_over: toggle(
    false,
    "Whether the node's first session ends the one that another process holds with the same key. Without it the coordinator refuses the newcomer while the other lives.",
  ),
  invite: described(
    v.optional(
      v.pipe(
        v.string(INVITE),
        v.check((text) => parseToken(text)?.kind === 'inv', INVITE),
      ),
    ),
    'The invite that lets the key in at a coordinator that takes invited nodes; not needed once it was let in.',
  ),
  models: described(
    v.optional(models, []),
    'The models it serves: full names, or a family ("llama") for every model of it that the model server has. Empty: those of [backend.models], else what the model server lists.',
  ),
  max_concurrent_tasks: described(v.optional(slots, 1), 'How many tasks it works on at once.'),
  performance_score: described(v.optional(share, 1), 'Its own estimate of its speed, 0 to 1.'),
  endpoint: described(v.optional(shortText(0, 2048), ''), 'An address to show; nobody dials it.'),
  node_address: described(v.optional(shortText(0, 256)), 'Its address on the chain.'),
  sign_results: toggle(true, 'Whether it signs its results with its key: the signature is part of their receipts.'),
  drain_timeout: seconds(
    0,
    86_400,
    600,
    'How long a stop waits for running tasks and for the coordinator to settle them.',
  ),
  connect_timeout: seconds(1, 300, 15, 'How long a session may take to open.'),
  metrics_port: port('Where GET /metrics tells what Prometheus reads; 0 takes a free port. Default: nowhere.'),
  metrics_host: host('127.0.0.1', 'The address of metrics_port.'),
})

export const backendSettings = v.strictObject({
  type: described(
    v.optional(v.picklist(backendTypes, 'must be one of "openai", "generate", "command", "echo"'), 'openai'),
    'What does the inference: openai (any server with that API: Ollama, vLLM, llama.cpp, LM Studio), generate (POST {"prompt"} -> {"text"}), command (a program for each task) or echo (for trying out).',
  ),
  base_url: described(
    v.optional(httpUrl, DEFAULT_BASE_URL),
    'openai: the URL of the API, up to and with the version; without one /v1 is tried too.',
  ),
  url: described(v.optional(httpUrl), 'generate: the URL that prompts are posted to.'),
  command: described(
    v.optional(v.pipe(v.string(PROGRAM), v.minLength(1, PROGRAM))),
    'command: the program; the prompt is its standard input, the answer its standard output.',
  ),
  args: described(
    v.optional(v.array(v.string('must be a text'), 'must be a list of texts'), []),
    'command: its arguments.',
  ),
  env: described(
    v.optional(v.pipe(v.array(variable, VARIABLES), v.maxLength(256, 'must name at most 256 variables')), []),
    'command: the environment variables of the node that it gets beside PATH, HOME and LANG.',
  ),
  api_key_env: described(
    v.optional(variable, DEFAULT_KEY_VARIABLE),
    'openai: the environment variable that holds the API key.',
  ),
  tools: toggle(
    true,
    'openai: whether the models call tools; tasks with tools come only to nodes of which it is said.',
  ),
  images: toggle(
    true,
    'openai: whether the models see images. The model server fetches those of which a task gives only the address: false where it can reach what strangers must not.',
  ),
  embeddings: toggle(
    false,
    'openai: whether the model server makes embeddings too, at /embeddings. Offered once it has made one for a model of the node.',
  ),
  stall_timeout: seconds(
    1,
    86_400,
    120,
    'openai, generate: a model server that sends no byte for this long counts as hanging.',
  ),
  delay: seconds(0, 3600, 0, 'echo: the pause before each word.'),
  models: described(
    v.optional(mapping, {}),
    "openai: what the model server calls a model, where it is not the served name: served name = server's name.",
  ),
})

const fileSchema = v.strictObject({
  node: v.optional(v.strictObject(nodeSettings.entries, 'must be a section [node]'), {}),
  backend: v.optional(v.strictObject(backendSettings.entries, 'must be a section [backend]'), {}),
})
type FileSettings = v.InferOutput<typeof fileSchema>

/** Everything an operator has set, resolved: a flag beats the file, the file beats the default. Frozen. */
export interface NodeConfig {
  node: Readonly<
    Omit<FileSettings['node'], 'coordinator' | 'models'> & { coordinator: string; models: readonly string[] }
  >
  backend: Readonly<FileSettings['backend']>
  /** Where completions are kept until they are settled. */
  unsettledFolder: string
  /** The key that the backend's server asks for. */
  apiKey: string | undefined
}

/** Flags of the command line as they were given; undefined where they were not. */
export interface NodeFlags {
  coordinator?: string | undefined
  /** Names with commas between; `served=server-name` maps one. */
  model?: string | undefined
  backend?: string | undefined
  baseUrl?: string | undefined
  url?: string | undefined
  /** A program and its arguments with spaces between. */
  command?: string | undefined
  embeddings?: boolean | undefined
  nodeId?: string | undefined
  keyFile?: string | undefined
  stateDir?: string | undefined
  takeOver?: boolean | undefined
  invite?: string | undefined
  maxConcurrentTasks?: string | undefined
  metricsPort?: string | undefined
}

/**
 * @param file undefined: the flags suffice
 * @param env where API keys are
 * @throws ConfigError one line that names the file or flag, the key and what was expected
 */
export function loadNodeConfig(
  file: string | undefined,
  flags: NodeFlags,
  env: Readonly<Record<string, string | undefined>>,
): NodeConfig {
  const settings = parseSettings(fileSchema, file === undefined ? {} : readToml(file), file ?? 'defaults')
  const given = readFlags(flags)
  const backend: FileSettings['backend'] = {
    ...settings.backend,
    ...given.backend,
    models: { ...settings.backend.models, ...given.backend.models },
  }
  const { coordinator, ...node }: FileSettings['node'] = { ...settings.node, ...given.node }
  const need = (key: string, flag: string): never => {
    throw new ConfigError(`${file ?? 'command line'}: ${key} is missing; set it in the file, or give ${flag}`)
  }
  if (coordinator === undefined) return need('node.coordinator', '--coordinator')
  if (backend.type === 'generate' && backend.url === undefined) need('backend.url', '--url')
  if (backend.type === 'command' && backend.command === undefined) need('backend.command', '--command')
  const apiKey = backend.type === 'openai' ? env[backend.api_key_env] : undefined
  if (backend.type === 'openai' && backend.api_key_env !== DEFAULT_KEY_VARIABLE && !apiKey) {
    throw new ConfigError(
      `${file ?? 'command line'}: backend.api_key_env names ${backend.api_key_env}, but that environment variable is not set`,
    )
  }
  const unset = backend.type === 'command' ? backend.env.find((name) => env[name] === undefined) : undefined
  if (unset !== undefined) {
    throw new ConfigError(
      `${file ?? 'command line'}: backend.env names ${unset}, but that environment variable is not set; set it, or leave it out`,
    )
  }
  const listed =
    node.models.length > 0 ? node.models : parseSettings(models, Object.keys(backend.models), file ?? 'command line')
  if (listed.length === 0 && backend.type !== 'openai')
    need('node.models', `--model (a backend of type ${backend.type} cannot list its models)`)
  return Object.freeze({
    node: Object.freeze({ ...node, coordinator, models: listed }),
    backend: Object.freeze(backend),
    unsettledFolder: join(node.state_dir, 'unsettled'),
    apiKey,
  })
}

/** Every key of the node's configuration file. */
export function describeNodeConfig(): SettingDoc[] {
  return describeSettings({ node: nodeSettings, backend: backendSettings })
}

function readFlags(flags: NodeFlags) {
  const named = (flags.model ?? '')
    .split(',')
    .map((m) => m.trim())
    .filter((m) => m !== '')
  const pairs = named.map((m): [string, string | undefined] => {
    const at = m.indexOf('=')
    return at < 0 ? [m, undefined] : [m.slice(0, at), m.slice(at + 1)]
  })
  const [program, ...args] = (flags.command ?? '').split(/\s+/).filter((word) => word !== '')
  const given = <T extends Record<string, unknown>>(values: T) =>
    Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined))
  const n = nodeSettings.entries
  const b = backendSettings.entries
  const optional = <S extends v.GenericSchema>(schema: S) => v.exactOptional(schema)
  const schema = v.object({
    node: v.object({
      coordinator: optional(n.coordinator),
      models: optional(models),
      node_id: optional(n.node_id),
      key_file: optional(n.key_file),
      state_dir: optional(n.state_dir),
      take_over: optional(n.take_over),
      invite: optional(n.invite),
      max_concurrent_tasks: optional(slots),
      metrics_port: n.metrics_port,
    }),
    backend: v.object({
      type: optional(b.type),
      base_url: optional(b.base_url),
      url: optional(b.url),
      command: optional(b.command),
      args: optional(b.args),
      embeddings: optional(b.embeddings),
      models: b.models,
    }),
  })
  return parseSettings(
    schema,
    {
      node: given({
        coordinator: flags.coordinator,
        models: pairs.length > 0 ? pairs.map(([name]) => name) : undefined,
        node_id: flags.nodeId,
        key_file: flags.keyFile,
        state_dir: flags.stateDir,
        take_over: flags.takeOver,
        invite: flags.invite,
        max_concurrent_tasks: toNumber(flags.maxConcurrentTasks),
        metrics_port: toNumber(flags.metricsPort),
      }),
      backend: given({
        type: flags.backend,
        base_url: flags.baseUrl,
        url: flags.url,
        command: program,
        args: program === undefined ? undefined : args,
        embeddings: flags.embeddings,
        models: Object.fromEntries(pairs.filter(([, name]) => name !== undefined)),
      }),
    },
    'command line',
  )
}

const toNumber = (text: string | undefined): number | string | undefined =>
  text !== undefined && /^\d+$/.test(text) ? Number(text) : text
