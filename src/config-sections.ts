import * as v from 'valibot'
import { host, integer, networks, path, port, yesOrNo } from './lib/setting-fields.js'
import { described, seconds } from './lib/settings.js'

/** `[inference.auth]` */
export const authSettings = v.strictObject({
  mode: described(
    v.optional(v.picklist(['auto', 'on'], 'must be "auto" or "on"'), 'auto'),
    'Whether everybody has to show who he is. auto: once a token was made; until then the service is open, and starts on loopback only.',
  ),
  anonymous_submit: yesOrNo(
    false,
    'Whether who shows no token may submit tasks, and see those of them whose task_id he knows.',
  ),
  public_stats: yesOrNo(true, 'Whether who shows no token may read GET /api/v1/stats.'),
  enrolment: described(
    v.optional(v.picklist(['open', 'invite', 'list'], 'must be one of "open", "invite", "list"')),
    'Which keys of nodes are let in, once authentication is on. open: every one; invite: those that came with an invite; list: those that an operator has allowed. Default: open where only this machine reaches the service, else invite.',
  ),
  probation_max_fee: integer(
    0,
    Number.MAX_SAFE_INTEGER,
    1_000_000,
    'The largest infer_fee, in micro-STX, of a task that a new node gets, where enrolment is not open.',
  ),
  legacy_unsigned: networks(
    'Networks from which nodes that poll are believed what they say without a token or a signature, such as "10.0.0.0/8".',
  ),
})

const share = (fallback: number, description: string) => {
  const expected = 'must be a share from 0 to 1'
  return described(
    v.optional(v.pipe(v.number(expected), v.minValue(0, expected), v.maxValue(1, expected)), fallback),
    description,
  )
}

/** `[inference.alerts]`: from where on something is out of the ordinary. */
export const alertSettings = v.strictObject({
  failure_factor: integer(1, 1000, 3, 'The failure rate of ten minutes is so many times that of the hour before.'),
  failure_attempts: integer(1, 1_000_000, 20, 'A failure rate is one of at least so many attempts.'),
  max_tokens_per_second: integer(1, 1_000_000_000, 2000, 'More tokens a second than a slot makes.'),
  min_answer_ms: integer(0, 3_600_000, 50, 'A whole answer in less than this is none of a language model.'),
  quick_answers: integer(1, 1_000_000, 3, 'So many answers in an hour that came faster than that are no accident.'),
  empty_share: share(0.2, 'The share of the newest 20 answers of a node that are empty.'),
  same_output_share: share(0.1, 'The share of the newest 256 answers of a node that it gave to other prompts too.'),
  hoarded_attempts: integer(1, 1_000_000, 5, 'More tasks in an hour that a node accepted and never did.'),
  hoarded_share: share(0.3, 'The share of what it accepted that those are.'),
  concentration: share(0.5, 'The share of all results of 15 minutes that one node or network has where others serve.'),
  auth_failures: integer(1, 1_000_000, 30, 'More failed authentications in a minute.'),
  auth_failures_per_address: integer(1, 1_000_000, 10, 'The same of one address.'),
  fee_factor: integer(2, 1_000_000, 100, "A fee of so many times the median of its model's newest fees."),
  surge_factor: integer(
    2,
    1_000_000,
    10,
    'Submissions of an owner, or new nodes, in an hour: so many times the usual hour.',
  ),
  operator_actions: integer(1, 1_000_000, 30, 'More actions of operators in a minute.'),
  server_errors: integer(1, 1_000_000, 10, 'More answers 500 in a minute.'),
})

const DAY_SECONDS = 86_400
const url = v.pipe(v.string('must be a URL'), v.url('must be a URL, such as "http://localhost:20443"'))
const HOST_AND_PORT = 'must be an address and a port, such as "127.0.0.1:30000"'

/** `[chain]`: without it the service neither looks at transactions nor posts them. */
export const chainSettings = v.strictObject({
  miner_endpoint: described(
    v.optional(url),
    'The RPC of the node whose miner gets the transactions of completed tasks. Default: signer.endpoint.',
  ),
  event_observer: described(
    v.optional(v.pipe(v.string(HOST_AND_PORT), v.regex(/^(?:[^\s:[\]]+|\[[0-9a-f:.]+\]):\d{1,5}$/i, HOST_AND_PORT))),
    'Where the Stacks node announces blocks: an address and port of its own, which is also an [[events_observer]] in the configuration of that node. Without it nobody tells by which transaction a nonce was used, and a payment ends as mined_unverified.',
  ),
  event_observer_allow: networks(
    'Who may announce events, such as "127.0.0.1" or "10.0.0.0/8": the node cannot prove who it is. Everybody else is answered nothing. Empty: this machine only.',
  ),
  submissions_from: networks(
    'Who of event_observer_allow may also submit tasks as /submit_infer_task events. Empty: nobody.',
  ),
  require_signed_tx: yesOrNo(true, 'Whether a task without the transaction that pays for it is refused.'),
  confirmations: integer(
    1,
    200,
    6,
    'How many blocks, its own among them, make a payment confirmed; until then a reorganisation of the chain takes it back.',
  ),
  check_balance: yesOrNo(
    true,
    'Whether the account that pays is looked at before a task is taken: its nonce must be free, and its balance cover all its open tasks. A node that does not answer refuses nothing.',
  ),
  give_signed_tx_to_polling_nodes: yesOrNo(
    false,
    'Whether nodes that poll get the transaction, with their address as payee, to post it themselves as old nodes do. The service posts it anyway.',
  ),
  stake_required: yesOrNo(false, 'Whether a node gets only tasks that its stake covers.'),
  stake_factor: integer(
    1,
    1000,
    3,
    'The stake of a node has to cover so many times the infer_fee of all that it holds.',
  ),
  stake_ttl: seconds(
    1,
    DAY_SECONDS,
    60,
    'How long what the chain says of a stake is believed; ten times as long while the node of the chain does not answer.',
  ),
  boot_address: described(
    v.optional(
      v.pipe(v.string('must be an address'), v.regex(/^S[0-9A-Z]{20,45}$/, 'must be an address of the chain')),
    ),
    'The address of the contract that holds stakes. Default: that of the network.',
  ),
  request_timeout: seconds(0.1, 600, 10, 'How long an RPC of the chain may take.'),
  poll_interval: seconds(0.02, 3600, 15, 'How often the tip of the chain and what was posted are looked at.'),
  warn_after: seconds(1, 30 * DAY_SECONDS, 600, 'GET /health warns when a payment has waited longer to be posted.'),
})

const SECRET = 'must be "whsec_" and 24 to 64 random bytes in base64, such as: echo "whsec_$(openssl rand -base64 32)"'
const isSecret = (text: string): boolean => {
  const base64 = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(text)?.[1] ?? ''
  const bytes = Buffer.from(base64, 'base64')
  return bytes.toString('base64') === base64 && bytes.length >= 24 && bytes.length <= 64
}

/** `[callbacks]`: without it a task that names a callback_url is refused. */
export const callbackSettings = v.strictObject({
  secret: described(
    v.pipe(v.string(SECRET), v.check(isSecret, SECRET)),
    'What callbacks are signed with, as Standard Webhooks have it: "whsec_" and base64. Those of a token or a wallet are signed with a secret made of it (stacks-signer tasks callbacks secret). Never logged.',
  ),
  allow_private: yesOrNo(
    false,
    'Whether callbacks may go to this machine and to private networks. Whoever submits tasks reaches them then.',
  ),
})

const NAME = 'must be a name of small letters, digits and "-", at most 32'
const name = v.pipe(v.string(NAME), v.regex(/^[a-z0-9][a-z0-9-]{0,31}$/, NAME))
const LOG_SERVER = 'must be a URL, such as "tls://n1:4222"'
const logServer = v.pipe(
  v.string(LOG_SERVER),
  v.check((text) => /^(nats|tls):\/\//.test(text) && URL.canParse(text), LOG_SERVER),
)

/** `[inference.cluster]`: more than one coordinator, on a replicated log. */
export const clusterSettings = v.strictObject({
  name: described(
    v.optional(name, 'inference'),
    'The name of the cluster, the same for all its coordinators: several can share the servers of one log.',
  ),
  coordinator: described(
    v.optional(name),
    'The name of this coordinator, another for each. Default: made of the host of public_url.',
  ),
  nats: described(
    v.pipe(v.array(logServer, 'must be a list of URLs'), v.minLength(1, 'must name at least one server')),
    'The servers of the log. Without TLS and credentials only loopback is accepted: who may publish may do everything.',
  ),
  monitor: described(
    v.pipe(
      v.array(
        v.pipe(v.string('must be a URL'), v.url('must be a URL, such as "http://n1:8222"')),
        'must be a list of URLs',
      ),
      v.minLength(1, 'must name each server'),
    ),
    'The monitoring address of each of these servers: there it is read whether the log keeps its promise (three servers, sync on every write, their version).',
  ),
  credentials: path('The file with the credentials for the log (.creds).'),
  tls_ca: path(
    'The certificate of who has signed those of the servers, in PEM. Default: the authorities that Node knows.',
  ),
  takeover_after: seconds(1, 3600, 10, 'A follower takes over when the owner has said nothing for so long.'),
  public_url: described(
    v.pipe(
      v.string('must be a URL'),
      v.url('must be a URL, such as "https://c1.example.org"'),
      v.regex(/^https?:/, 'must begin with https:// or http://'),
    ),
    'Where nodes and submitters reach this coordinator; others name it when they are asked instead.',
  ),
})

/** `[metrics]`: what Prometheus reads. */
export const metricsSettings = v.strictObject({
  enabled: yesOrNo(true, 'Whether GET /metrics tells what Prometheus reads; where tokens exist, to those who may.'),
  host: host('127.0.0.1', 'The address of metrics.port.'),
  port: port(
    'A port of its own for GET /metrics, which asks for no token: only your Prometheus should reach it. 0 takes a free one. Default: none.',
  ),
})

/** `[openai]`: how the requests of clients of OpenAI's API become tasks, at `/v1`. */
export const openAiSettings = v.strictObject({
  user_address: described(
    v.optional(v.pipe(v.string('must be an address'), v.minLength(1, 'must be an address'), v.maxLength(256))),
    'Whose tasks they are where no token of a user says it. Default: the address of the signer.',
  ),
  infer_fee: integer(
    0,
    Number.MAX_SAFE_INTEGER,
    0,
    'The infer_fee of such a task, micro-STX; a request may raise it by X-Infer-Fee or metadata.infer_fee.',
  ),
  max_infer_time: integer(1, 2 ** 31 - 1, 300, 'Its max_infer_time, seconds.'),
  max_wait: seconds(
    1,
    86_400,
    600,
    'How long a request waits for a node to take it; then it is answered 504, and its task is cancelled.',
  ),
  queue_unknown_models: yesOrNo(
    false,
    'Whether a request for a model that no node serves waits for one; else it is answered 404 at once.',
  ),
})

/** `[dashboard]` */
export const dashboardSettings = v.strictObject({
  enabled: yesOrNo(true, 'Whether the page for those who watch is served, at /dashboard/.'),
})
