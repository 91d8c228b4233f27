import { setTimeout as sleep } from 'node:timers/promises'
import {
  DiscardPolicy,
  JetStreamApiCodes,
  type JetStreamManager,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from '@nats-io/jetstream'
import * as v from 'valibot'
import { ConfigError } from '../lib/config-error.js'
import { apiCode, type LogConnection } from './connection.js'
import { type CheckedServer, MAX_PAYLOAD_BYTES, MIN_SERVERS } from './log-check.js'
import { JournalUnreachable } from './port.js'

/** How much a journal may hold on each server, bytes. It is emptied all the time of what every file of the cluster has. */
export const MAX_JOURNAL_BYTES = 64 * 1024 ** 3
const ID = 'inference_journal_id'
/** In errors of the log: there is a stream of this name with another configuration. */
const STREAM_EXISTS = 10058
/** The same: no three servers are there that have as much storage. */
const NO_PLACE = new Set([10005, 10023, 10047, 10074])
/** How long the leader of servers that were just started may take one for absent that is there, and the pause between questions, ms. */
const MEET_MS = 15_000
const MEET_PAUSE_MS = 250

/** The stream that is the journal of a cluster. */
export const streamOf = (name: string): string => `INF_J_${name}`
/** Its one subject. */
export const subjectOf = (name: string): string => `inf.${name}.j`

/** What a journal must be: what it has acknowledged is on more than half of the servers, and goes only when it is truncated. */
const promised = (name: string) => ({
  subjects: [subjectOf(name)],
  retention: RetentionPolicy.Limits,
  storage: StorageType.File,
  // A full journal refuses; the other policy would forget the oldest.
  discard: DiscardPolicy.New,
  max_age: 0,
  max_msgs: -1,
  max_msgs_per_subject: -1,
  deny_delete: true,
  // So that only the leader tells what is newest.
  allow_direct: false,
  num_replicas: MIN_SERVERS,
})

const sequence = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const member = v.object({ name: v.string() })
const streamInfo = v.object({
  config: v.looseObject({ metadata: v.optional(v.record(v.string(), v.string()), {}) }),
  state: v.object({ first_seq: sequence, last_seq: sequence, bytes: sequence }),
  cluster: v.optional(
    v.object({ leader: v.optional(v.string()), replicas: v.optional(v.pipe(v.array(member), v.maxLength(64)), []) }),
    {},
  ),
})
/** What the stream's leader says about it. */
export type JournalInfo = v.InferOutput<typeof streamInfo>

/**
 * What the leader of the journal's stream says; null when there is no such stream.
 * @throws JournalUnreachable
 */
export async function readInfo(
  { ask }: Pick<LogConnection, 'ask'>,
  { streams }: Pick<JetStreamManager, 'streams'>,
  name: string,
): Promise<JournalInfo | null> {
  try {
    return await ask(async () => v.parse(streamInfo, await streams.info(streamOf(name))))
  } catch (error) {
    if (apiCode(error) === JetStreamApiCodes.StreamNotFound) return null
    throw error
  }
}

/** The id that a journal was given when it was made. @throws ConfigError when the stream is no journal of ours */
export function journalIdOf(name: string, { config }: JournalInfo): string {
  const id = v.safeParse(v.pipe(v.string(), v.uuid()), config.metadata[ID])
  if (id.success) return id.output
  throw new ConfigError(
    `the log has a stream for a cluster "${name}" that is no journal: give the cluster another name, or remove the stream`,
  )
}

/**
 * Makes the stream, unless there is one by now. Servers that have just met are given a while to find one another.
 * @throws JournalUnreachable; ConfigError when the servers have no room for it
 */
export async function createStream(
  { ask }: Pick<LogConnection, 'ask'>,
  { streams }: Pick<JetStreamManager, 'streams'>,
  name: string,
  id: string,
  maxBytes: number,
): Promise<{ created: boolean }> {
  const config: Partial<StreamConfig> & { name: string } = {
    ...promised(name),
    name: streamOf(name),
    deny_purge: false,
    max_bytes: maxBytes,
    max_msg_size: MAX_PAYLOAD_BYTES,
    metadata: { [ID]: id },
  }
  for (const end = Date.now() + MEET_MS; ; await sleep(MEET_PAUSE_MS))
    try {
      await ask(() => streams.add(config))
      return { created: true }
    } catch (error) {
      const code = apiCode(error) ?? 0
      if (code === STREAM_EXISTS) return { created: false }
      if (!NO_PLACE.has(code) || !(error instanceof Error && error.cause instanceof Error)) throw error
      if (error.cause.message.includes('offline') && Date.now() < end) continue
      throw new ConfigError(
        `the log has no ${MIN_SERVERS} servers for a journal of up to ${maxBytes} bytes on each (${error.cause.message}): see whether all run and have routes to each other, and raise max_file_store in their jetstream { }, or make the journal smaller`,
        { cause: error },
      )
    }
}

/** What keeps the journal's stream from being one that keeps what it acknowledged: a sentence each, which says what to change. */
export function lacksOfStream(
  name: string,
  { config, cluster }: JournalInfo,
  servers: readonly CheckedServer[],
  silent: number,
): string[] {
  const stream = streamOf(name)
  const lacks = Object.entries(promised(name)).flatMap(([key, expected]) => {
    const found = config[key] ?? (typeof expected === 'boolean' ? false : undefined)
    if (JSON.stringify(found) === JSON.stringify(expected)) return []
    return `the stream ${stream} has ${key} ${JSON.stringify(found)}, and must have ${JSON.stringify(expected)}: change it with "nats stream edit", or remove the stream when nothing in it is needed, and run "stacks-signer cluster init" again`
  })
  for (const key of ['sources', 'mirror', 'subject_transform', 'republish', 'sealed'])
    if (config[key] !== undefined && config[key] !== false)
      lacks.push(`the stream ${stream} has ${key}, which a journal must not have: take it away with "nats stream edit"`)
  if (config['persist_mode'] === 'async')
    lacks.push(
      `the stream ${stream} has persist_mode "async", which acknowledges what is not stored: make it anew without`,
    )
  const replicas = cluster.replicas.map((r) => r.name).concat(cluster.leader ?? [])
  const strange = replicas.filter((replica) => !servers.some((server) => server.name === replica))
  if (new Set(replicas).size < MIN_SERVERS)
    lacks.push(
      `the stream ${stream} is on ${replicas.length} servers, and must be on ${MIN_SERVERS}: change it with "nats stream edit --replicas ${MIN_SERVERS}"`,
    )
  // Whose server is silent now is not known by its name.
  if (strange.length > silent)
    lacks.push(
      `the stream ${stream} is on the log server ${strange.join(', ')}, whose monitoring address is not in monitor: name that of each server`,
    )
  return lacks
}

/** Said where a journal was there, or should be. */
export const noJournal = (name: string, servers: readonly string[]): string =>
  `the log (${servers.join(', ')}) has no journal of a cluster "${name}"; run "stacks-signer cluster init --config …" once, from any of the coordinators`

/** The journal that was open is not there any more. */
export class JournalGone extends JournalUnreachable {
  constructor(name: string) {
    super(
      `the stream ${streamOf(name)} of the log is gone: restore it from a backup of the log's servers, or stop all coordinators and make a new journal of their files`,
    )
  }
}
