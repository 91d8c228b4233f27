import { join } from 'node:path'
import * as v from 'valibot'
import { ConfigError } from '../lib/config-error.js'
import { host, path as optionalPath, port, yesOrNo } from '../lib/setting-fields.js'
import { described, describeSettings, parseSettings, readToml, seconds, type SettingDoc } from '../lib/settings.js'
import { id, models, share, shortText, slots } from '../wire/fields.js'
import { COORDINATORS, coordinatorAddresses } from './address.js'
import { backendSettings, DEFAULT_KEY_VARIABLE } from './backend-settings.js'
import { INVITE, isInvite, readInvite } from './invite.js'
import { prefetchSetting } from './options.js'

const path = (fallback: string, description: string) =>
  described(v.optional(v.pipe(v.string('must be a path'), v.minLength(1, 'must be a path')), fallback), description)

/** `[node]` */
export const nodeSettings = v.strictObject({
  coordinator: described(
    v.optional(
      v.pipe(
        v.union([v.string(), v.array(v.string())], COORDINATORS),
        v.check((given) => coordinatorAddresses(given) !== null, COORDINATORS),
      ),
    ),
    "The coordinator's URL: ws, wss, http or https. Of several that stand for each other a list, or a text with commas between. Required, here or as --coordinator.",
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
  take_over: yesOrNo(
    false,
    "Whether the node's first session ends the one that another process holds with the same key. Without it the coordinator refuses the newcomer while the other lives.",
  ),
  invite: described(
    v.optional(v.pipe(v.string(INVITE), v.check(isInvite, INVITE))),
    'The invite that lets the key in at a coordinator that takes invited nodes; not needed once it was let in.',
  ),
  invite_file: optionalPath(
    'A file with the invite, such as a secret of systemd, Docker or Kubernetes; an empty one has none.',
  ),
  models: described(
    v.optional(models, []),
    'The models it serves: full names, or a family ("llama") for every model of it that the model server has. Empty: those of [backend.models], else what the model server lists.',
  ),
  max_concurrent_tasks: described(v.optional(slots, 1), 'How many tasks it works on at once.'),
  prefetch: described(
    v.optional(prefetchSetting, 'auto'),
    'How many tasks it holds beyond those, 0 to 64, so that the next is there when one is done. "auto": one for each, at most 8, while its tasks take a few seconds.',
  ),
  performance_score: described(v.optional(share, 1), 'Its own estimate of its speed, 0 to 1.'),
  endpoint: described(v.optional(shortText(0, 2048), ''), 'An address to show; nobody dials it.'),
  node_address: described(v.optional(shortText(0, 256)), 'Its address on the chain.'),
  sign_results: yesOrNo(true, 'Whether it signs its results with its key: the signature is part of their receipts.'),
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

const fileSchema = v.strictObject({
  node: v.optional(v.strictObject(nodeSettings.entries, 'must be a section [node]'), {}),
  backend: v.optional(v.strictObject(backendSettings.entries, 'must be a section [backend]'), {}),
})
type FileSettings = v.InferOutput<typeof fileSchema>

/** Everything an operator has set, resolved: a flag beats the file, the file beats the default. Frozen. */
export interface NodeConfig {
  node: Readonly<
    Omit<FileSettings['node'], 'coordinator' | 'models'> & {
      coordinator: string | readonly string[]
      models: readonly string[]
    }
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
  inviteFile?: string | undefined
  maxConcurrentTasks?: string | undefined
  prefetch?: string | undefined
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
    node: Object.freeze({
      ...node,
      coordinator,
      models: listed,
      invite: inviteOf(given.node) ?? inviteOf(settings.node),
    }),
    backend: Object.freeze(backend),
    unsettledFolder: join(node.state_dir, 'unsettled'),
    apiKey,
  })
}

const inviteOf = ({ invite, invite_file }: Partial<FileSettings['node']>): string | undefined =>
  invite ?? (invite_file === undefined ? undefined : readInvite(invite_file))

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
      invite_file: n.invite_file,
      max_concurrent_tasks: optional(slots),
      prefetch: optional(prefetchSetting),
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
        invite_file: flags.inviteFile,
        max_concurrent_tasks: toNumber(flags.maxConcurrentTasks),
        prefetch: toNumber(flags.prefetch),
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
