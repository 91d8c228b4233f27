import { createECDH } from 'node:crypto'
import * as v from 'valibot'
import { days, host, integer, networks, path } from './lib/setting-fields.js'
import {
  alertSettings,
  authSettings,
  callbackSettings,
  chainSettings,
  clusterSettings,
  dashboardSettings,
  metricsSettings,
  openAiSettings,
} from './config-sections.js'
import { described, seconds } from './lib/settings.js'
import { MAX_INFER_TIME_SECONDS } from './wire/fields.js'

const PRIVATE_KEY = 'must be a secp256k1 private key in hex: 32 bytes, or 33 with a trailing 01'
const isPrivateKey = (hex: string): boolean => {
  const key = /^([0-9a-f]{64})(?:01)?$/i.exec(hex)?.[1]
  if (key === undefined) return false
  try {
    // Refuses 0 and what is not below the order of the curve.
    createECDH('secp256k1').setPrivateKey(key, 'hex')
    return true
  } catch {
    return false
  }
}

const ORIGIN = 'must be the origin of web pages: scheme, host and port, such as "https://dashboard.example.org"'
const isOrigin = (text: string): boolean => /^https?:/.test(text) && URL.canParse(text) && new URL(text).origin === text
const origin = v.pipe(
  v.string(ORIGIN),
  v.check(
    (text) => text !== '*',
    'must name each origin: "*" would let every web page read all tasks, and cancel them',
  ),
  v.check(isOrigin, ORIGIN),
)

const isOnLoopback = (url: string): boolean => /^(127\.\d+\.\d+\.\d+|\[::1\]|localhost)$/.test(new URL(url).hostname)

export const DAY_SECONDS = 86_400
const MIB = 1024 * 1024

/** `[signer]` */
export const signerSettings = v.strictObject({
  stacks_private_key: described(
    v.pipe(v.string(PRIVATE_KEY), v.check(isPrivateKey, PRIVATE_KEY)),
    'Key of the signer, hex: 32 bytes, or 33 with a trailing 01. Never logged.',
  ),
  endpoint: described(
    v.pipe(v.string('must be a URL'), v.url('must be a URL, such as "http://localhost:20443"')),
    "The Stacks node's RPC.",
  ),
  network: described(
    v.picklist(['mainnet', 'testnet', 'devnet'], 'must be one of "mainnet", "testnet", "devnet"'),
    'mainnet, testnet or devnet.',
  ),
})

/** `[inference]` */
export const inferenceSettings = v.strictObject({
  database_path: path("The SQLite file. Default: inference_tasks.db in the configuration file's folder."),
  api_port: integer(0, 65_535, 8080, 'The port of REST and sessions; 0 takes a free one.'),
  api_host: host('127.0.0.1', 'The address to listen on; 0.0.0.0 for all.'),
  heartbeat_interval: seconds(
    0.05,
    3600,
    15,
    'How often a node in session sends a heartbeat; after 3 intervals without any message its session is closed.',
  ),
  accept_timeout: seconds(0.05, 3600, 5, 'How long a node may take to accept a pushed task.'),
  reconnect_grace: seconds(
    0,
    DAY_SECONDS,
    15,
    'How long the tasks of a node stay with it after its session ended; then they are requeued.',
  ),
  restart_grace: seconds(
    0,
    DAY_SECONDS,
    45,
    'After a start of the coordinator every open lease lasts at least this long, so that nodes can come back.',
  ),
  max_attempts: integer(1, 1000, 3, 'A task is failed after this many attempts that were begun.'),
  timeout_attempts: integer(
    1,
    1000,
    2,
    'A task is timeout after this many attempts that outlived max_infer_time, or after the first when no other node that is there serves it.',
  ),
  max_infer_time_limit: integer(
    1,
    MAX_INFER_TIME_SECONDS,
    DAY_SECONDS,
    'The largest max_infer_time of a new task, in seconds; one with more is answered 400.',
  ),
  node_timeout: seconds(0.05, DAY_SECONDS, 90, 'A polling node that holds nothing is offline after this much silence.'),
  shutdown_timeout: seconds(0, 3600, 10, 'How long a stop waits for the results of nodes in session.'),
  max_queue_time: seconds(0, 365 * DAY_SECONDS, DAY_SECONDS, 'A task that has waited longer is timeout; 0 = never.'),
  starvation_after: seconds(
    0,
    365 * DAY_SECONDS,
    600,
    'A task that has waited longer goes before every other; among such tasks the oldest goes first.',
  ),
  max_body_bytes: integer(
    1024,
    1024 * MIB,
    16 * MIB,
    'The largest REST body, which only a batch may have: one submission may take three times max_message_bytes and a result six times max_output_bytes, for JSON may write a character as six.',
  ),
  max_message_bytes: integer(
    16 * 1024,
    256 * MIB,
    4 * MIB,
    'The largest frame of a session; a prompt or an output has to fit into one.',
  ),
  max_output_bytes: integer(1024, 1024 * MIB, 4 * MIB, 'The largest output that is stored, in bytes of UTF-8.'),
  max_requests_per_second: integer(
    0,
    1_000_000,
    1000,
    'The most REST requests a second from one address, averaged over ten seconds; more are answered 429; 0 = no limit. A batch counts as its entries, a page of tasks as 5, the list of nodes as 10. Loopback is not limited.',
  ),
  max_request_bytes_per_second: integer(
    0,
    1024 * MIB,
    8 * MIB,
    'The most bytes of REST bodies a second from one address, averaged over ten seconds; more are answered 429; 0 = no limit. Loopback is not limited.',
  ),
  max_connections_per_address: integer(
    1,
    1_000_000,
    200,
    'The most connections from one address at once that have proven nothing: REST, and sessions before their hello; more are closed before anything is read. Loopback is not limited.',
  ),
  max_receiving_bytes: integer(
    MIB,
    64 * 1024 * MIB,
    256 * MIB,
    'The most bytes that may be half received at once, of REST bodies and of messages; what would be more is answered 503. At least one body or message of the largest size is always taken.',
  ),
  max_receiving_bytes_per_address: integer(
    MIB,
    64 * 1024 * MIB,
    64 * MIB,
    'The same of one address, answered 429. Loopback is not limited.',
  ),
  max_unsent_bytes: integer(
    MIB,
    64 * 1024 * MIB,
    256 * MIB,
    'The most bytes of answers that may wait for their readers at once; what would be more is answered 503.',
  ),
  max_unsent_bytes_per_address: integer(
    MIB,
    64 * 1024 * MIB,
    32 * MIB,
    'The same of one address, answered 429. Loopback is not limited.',
  ),
  count_loopback: described(
    v.optional(v.boolean('must be true or false'), false),
    'Whether limits of one address hold for this machine too, each address of 127.0.0.0/8 for itself.',
  ),
  max_sessions: integer(1, 1_000_000, 20_000, 'The most sessions at once; more are answered 503.'),
  max_sessions_per_address: integer(
    1,
    1_000_000,
    1000,
    'The most sessions from one address at once; more are answered 429. Loopback is not limited.',
  ),
  max_messages_per_second: integer(
    10,
    1_000_000,
    20_000,
    'The most messages a session may send in a second, averaged over ten seconds; more close it with 4429.',
  ),
  max_pending_tasks: integer(1, 100_000_000, 1_000_000, 'The most tasks that may wait; more are answered 503.'),
  max_pending_per_user: integer(
    0,
    100_000_000,
    0,
    'The most tasks of one user_address that may wait; more are answered 429; 0 = no limit.',
  ),
  max_nodes: integer(1, 10_000_000, 100_000, 'The most nodes that may be registered.'),
  max_node_slots: integer(1, 1024, 1024, 'The largest max_concurrent_tasks a node may ask for.'),
  max_handshakes: integer(
    1,
    1_000_000,
    1000,
    'The most sessions that may wait for their hello at once; for one more the oldest of the address with most of them is dropped.',
  ),
  max_handshakes_per_address: integer(1, 1_000_000, 32, 'The same of one address. Loopback is not limited.'),
  max_upgrades_per_second: integer(
    1,
    1_000_000,
    10,
    'The most sessions that one address may open in a second, averaged over ten seconds; more are answered 429. Loopback is not limited.',
  ),
  max_new_nodes_per_hour: integer(
    1,
    1_000_000,
    60,
    'The most new nodes that one address may register in an hour, on average, and so many at once; more are answered 429. Loopback is not limited.',
  ),
  retention_days: days(
    36_500,
    0,
    'Tasks that ended (completed, submitted, failed, timeout) more days ago are deleted with their history, and their task_id is free again; 0 = everything is kept.',
  ),
  max_wal_bytes: integer(
    MIB,
    1024 * 1024 * MIB,
    1024 * MIB,
    'How large the write-ahead log beside the database may grow while another program keeps reading; above half of it GET /health warns, above it writes are answered 503.',
  ),
  backup_dir: path('A folder for backups, which the running service makes by itself. Without it none are made.'),
  backup_interval: seconds(1, 365 * DAY_SECONDS, DAY_SECONDS, 'How often a backup is made into backup_dir.'),
  backup_keep: integer(1, 10_000, 7, 'How many backups are kept in backup_dir; older ones are deleted.'),
  core_thread: described(
    v.optional(v.boolean('must be true or false'), false),
    'Whether the core, which keeps the tasks and writes the database, runs in a worker thread. Every task costs a little more, and heartbeats and REST stay quick while a slow disk writes.',
  ),
  public_hosts: described(
    v.optional(
      v.array(
        v.pipe(v.string('must be a host, such as "pool.example.org" or "pool.example.org:8443"'), v.toLowerCase()),
      ),
      [],
    ),
    'The hosts under which the service is reached: a hello must be signed for one of them, and a Host header with another name is answered 421 (an IP address, localhost and api_host always pass). Set it on the public internet and behind a proxy. Empty: a hello must be signed for the Host header it came with.',
  ),
  trusted_proxies: networks(
    'The proxies before the service, such as "127.0.0.1" or "10.0.0.0/8": of what comes from them, X-Forwarded-For tells the address of the client, and X-Forwarded-Host the host that it has dialled. From everybody else these headers say nothing.',
  ),
  data_key_file: path(
    'The file with the keys under which texts are encrypted in the database (stacks-signer keys create). Without it they are stored as they are.',
  ),
  tls_cert: path('A certificate chain in PEM: REST and sessions are then https and wss.'),
  tls_key: path('The private key of tls_cert, in PEM.'),
  cors_origins: described(
    v.optional(v.array(origin, 'must be a list of origins'), []),
    'The origins of web pages elsewhere that may use the service from a browser, such as "https://dashboard.example.org"; pages of all others are answered 403. Programs send no origin and need not be here.',
  ),
})

/** More families of models. */
export const families = v.record(
  v.pipe(v.string(), v.regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, 'must be a lower-case family name')),
  v.pipe(
    v.array(v.pipe(v.string('must be a word'), v.minLength(1, 'must be a word')), 'must be a list of words'),
    v.minLength(1, 'must name at least one word'),
  ),
)

/** The sections within `[inference]`. */
export const inferenceSections = {
  families: v.optional(families, {}),
  auth: v.optional(v.strictObject(authSettings.entries, 'must be a section [inference.auth]'), {}),
  alerts: v.optional(v.strictObject(alertSettings.entries, 'must be a section [inference.alerts]'), {}),
  cluster: v.optional(
    v.pipe(
      v.strictObject(clusterSettings.entries, 'must be a section [inference.cluster]'),
      v.check(
        (c) => c.nats.every((url) => isOnLoopback(url) || (url.startsWith('tls:') && c.credentials !== undefined)),
        'needs tls:// URLs and credentials for servers that are not on this machine: who may publish may do everything',
      ),
    ),
  ),
}

/** The whole file. */
export const fileSchema = v.strictObject({
  signer: v.strictObject(signerSettings.entries, 'must be a section [signer]'),
  chain: v.optional(v.strictObject(chainSettings.entries, 'must be a section [chain]')),
  callbacks: v.optional(v.strictObject(callbackSettings.entries, 'must be a section [callbacks]')),
  openai: v.optional(v.strictObject(openAiSettings.entries, 'must be a section [openai]'), {}),
  dashboard: v.optional(v.strictObject(dashboardSettings.entries, 'must be a section [dashboard]'), {}),
  metrics: v.optional(v.strictObject(metricsSettings.entries, 'must be a section [metrics]'), {}),
  inference: v.optional(
    v.pipe(
      v.strictObject({ ...inferenceSettings.entries, ...inferenceSections }),
      v.check((i) => (i.tls_cert === undefined) === (i.tls_key === undefined), 'needs tls_cert and tls_key together'),
    ),
    {},
  ),
})
export type FileSettings = v.InferOutput<typeof fileSchema>
