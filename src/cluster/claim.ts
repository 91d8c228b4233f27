import { newestSchema } from '../store/open.js'
import { Diverged } from '../store/replay.js'
import type { Replica } from '../store/replica.js'
import { applyRecords, checkPlace } from './follower.js'
import { JournalUnreachable, type Journal } from './port.js'
import {
  createAssembler,
  fenceRecord,
  messagesOf,
  nextTogether,
  partsThere,
  readMessage,
  recordsBehind,
  toMessages,
  wholeUpTo,
  type Fence,
} from './records.js'

/** Messages are read in slices of so many. */
const SLICE = 200
/** So often the end of the journal may move away from a claim: then its owner lives. */
const MAX_TRIES = 20

export interface Claimed {
  epoch: number
  /** The fence, in the log and in the file. */
  n: number
  seq: number
}

/** What the coordinator does while it owns the work. */
export interface Owning {
  /** Resolves when it owns the work no more. `handOver`: everything is stored, the others may go on at once. `damaged`: its file is. */
  ended: Promise<{ handOver: boolean; why: string; damaged: boolean }>
  /** Gives the work up in order. */
  end(): void
  /** The newest record of its file, up to where in the log it needs nothing any more, and how long the oldest turn waits, ms. */
  at(): { n: number; seq: number; waited: number }
}

/**
 * Takes the journal over: reads it to its end, gives it what only this file has, and writes the fence right behind. From then on
 * nobody else can write to it, whatever he believes.
 * @returns null when somebody else is writing to it, or has taken it over
 * @throws Diverged, JournalTruncated: the file is of no use any more; JournalUnreachable: nothing is known, try again
 */
export async function claim({
  replica,
  journal,
  says,
  fenced,
}: {
  replica: Replica
  journal: Pick<Journal, 'last' | 'slice' | 'append'>
  /** What the fence says of the owner to be. */
  says: Pick<Fence, 'owner' | 'url' | 'run'>
  fenced(fence: Fence): void
}): Promise<Claimed | null> {
  const before = replica.newest().epoch
  for (let i = 0; i < MAX_TRIES; i++) {
    const end = await catchUp(replica, journal, fenced)
    if (replica.newest().epoch !== before) return null
    const seq = await giveRest(replica, journal, end)
    if (seq === null) continue
    const { n, epoch } = replica.newest()
    const record = fenceRecord(n + 1, epoch + 1, {
      ...says,
      schema: newestSchema(),
      all: n === 0 && replica.isEmpty(),
    })
    const [message = Buffer.alloc(0)] = toMessages(record)
    const at = await append(journal, seq, message)
    if (at === null) continue
    applyRecords(replica, [{ ...record, seq: at }], fenced)
    return { epoch: epoch + 1, n: n + 1, seq: at }
  }
  return null
}

/**
 * Gives the log again what it has lost of this file, in the epoch of the file, as long as nobody has taken the journal over.
 * @returns how many records it had lost
 * @throws as `claim`
 */
export async function giveBack(replica: Replica, journal: Pick<Journal, 'last' | 'slice' | 'append'>): Promise<number> {
  const { epoch } = replica.newest()
  const end = await catchUp(replica, journal, () => undefined)
  const { n, epoch: now } = replica.newest()
  if (now !== epoch || end.n >= n) return 0
  return (await giveRest(replica, journal, end)) === null ? 0 : n - end.n
}

/** @returns the end of the log: its last message, the newest record that is whole there, and how many messages of our next one */
async function catchUp(
  replica: Replica,
  journal: Pick<Journal, 'last' | 'slice'>,
  fenced: (fence: Fence) => void,
): Promise<{ n: number; seq: number; begun: number }> {
  const last = await journal.last()
  if (last === null) return { n: 0, seq: 0, begun: 0 }
  await checkPlace(replica, journal)
  const assemble = createAssembler()
  for (let from = (replica.state()?.stored_seq ?? 0) + 1; from <= last.seq;) {
    const messages = await journal.slice(from, SLICE)
    const next = messages.at(-1)
    if (next === undefined) break
    const records = messages.flatMap(assemble)
    applyRecords(replica, records, fenced)
    from = next.seq + 1
  }
  const end = readMessage(last.message)
  const whole = wholeUpTo(end)
  const ours = replica.record(whole)
  if (whole > 0 && ours === undefined && whole < replica.newest().n) throw lostTooMuch(whole, replica)
  if (whole > 0 && (ours === undefined || (whole === end.last && ours.epoch !== end.epoch)))
    throw new Diverged(`the log ends with record ${whole} of epoch ${end.epoch}, which this file does not have`)
  const next = replica.record(end.last)
  return { n: whole, seq: last.seq, begun: next === undefined ? 0 : partsThere(next, end) }
}

/** The file is good, and only an operator can say which of several is the best. */
const lostTooMuch = (n: number, replica: Replica): Error =>
  new Error(
    `the log ends with record ${n}, and this file with ${replica.newest().n}: it has lost more than is kept to give it again; see "stacks-signer cluster rebuild"`,
  )

/** What this file has beyond the log: it was acknowledged to nobody, or the log has lost it. @returns the end of the log then; null: it has moved */
async function giveRest(
  replica: Replica,
  journal: Pick<Journal, 'last' | 'append' | 'slice'>,
  end: { n: number; seq: number; begun: number },
): Promise<number | null> {
  let { seq } = end
  const { n: newest } = replica.newest()
  for (let { n, begun } = end; n < newest; begun = 0) {
    const [first, ...more] = nextTogether(recordsBehind(n, newest, replica.record))
    if (first === undefined) throw lostTooMuch(n, replica)
    for (const message of messagesOf([first, ...more], begun)) {
      const at = await append(journal, seq, message)
      if (at === null) return null
      seq = at
    }
    n = first.n + more.length
    replica.isStored(n, seq)
  }
  return seq
}

/** Where it is not known whether it was stored, it is looked. */
async function append(
  journal: Pick<Journal, 'append' | 'slice'>,
  after: number,
  message: Uint8Array,
): Promise<number | null> {
  try {
    return await journal.append(after, message)
  } catch (error) {
    if (!(error instanceof JournalUnreachable)) throw error
    const [there] = await journal.slice(after + 1, 1)
    if (there === undefined) throw error
    return Buffer.compare(there.message, message) === 0 ? there.seq : null
  }
}
