/**
 * The replicated log that makes a coordinator's turns durable on more than one machine. Everything the cluster asks of it: NATS
 * JetStream is one, the memory of a test another.
 */
export interface Journal {
  /** Of this journal alone, random: a file belongs to the journal that it was written with. */
  readonly id: string
  /**
   * Stores a message right behind the message `after` (0: as the first), and only there: the compare-and-set that fences a former
   * owner. Several may be on their way at once, each behind the one before; where a fence may come between them only one may: the second
   * would be stored behind a fence that the first was refused for.
   * @returns the sequence it was stored at, which is `after + 1`; null: something else is there, nothing was stored
   * @throws JournalUnreachable when it is not known whether it was stored: read before it is sent again
   */
  append(after: number, message: Uint8Array): Promise<number | null>
  /**
   * The messages from sequence `from` on, in order and without gaps, as they come: it ends when `signal` aborts.
   * @throws JournalUnreachable; JournalTruncated when the message `from` is not kept any more
   */
  read(from: number, signal: AbortSignal): AsyncIterable<JournalMessage>
  /** The newest message; null in an empty journal. Asked of the journal's leader: never an older one than was acknowledged. @throws JournalUnreachable */
  last(): Promise<JournalMessage | null>
  /** Up to `limit` messages from sequence `from` on that are there now. @throws JournalUnreachable, JournalTruncated */
  slice(from: number, limit: number): Promise<JournalMessage[]>
  /** Forgets the messages below this sequence. @throws JournalUnreachable */
  truncate(below: number): Promise<void>
}

export interface JournalMessage {
  /** From 1, without gaps. */
  seq: number
  message: Uint8Array
}

/** How coordinators speak with each other: not stored, at most once. */
export interface Bus {
  publish(topic: string, message: Uint8Array): void
  /** @returns ends it */
  subscribe(topic: string, told: (message: Uint8Array) => void): () => void
  /** Asks whoever answers this topic. @throws JournalUnreachable when nobody does within the time, ms */
  request(topic: string, message: Uint8Array, timeout: number): Promise<Uint8Array>
  /** Answers what is asked on this topic. @returns ends it */
  answer(topic: string, answer: (message: Uint8Array) => Promise<Uint8Array>): () => void
}

/** A connection to the log's servers: one journal, and the bus beside it. */
export interface ClusterLog {
  journal: Journal
  bus: Bus
  /** Whether the connection stands now. */
  connected(): boolean
  /** Since when it stands, ms, monotonic: to go to another server because the log gave no answer is no loss. */
  connectedSince(): number
  /** When it has come to another server for that reason, ms, monotonic; -Infinity: never. */
  movedAt(): number
  close(): Promise<void>
}

/** The log does not answer; the message says which servers, and what to look at. */
export class JournalUnreachable extends Error {}

/** What is to be read was forgotten: the reader has to be seeded anew. */
export class JournalTruncated extends Error {}

/** The log ends before what was read from it: it has lost that, and who has it can give it again. His file is good. */
export class JournalBehind extends Error {}

/** The largest message, bytes; what is larger is sent in parts. */
export const MAX_MESSAGE_BYTES = 512 * 1024
/** @throws RangeError of a message that no journal takes */
export const refuseTooLarge = ({ byteLength }: Uint8Array): void => {
  if (byteLength > MAX_MESSAGE_BYTES)
    throw new RangeError(`a message of ${byteLength} bytes: ${MAX_MESSAGE_BYTES} are the most`)
}
