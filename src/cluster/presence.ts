import * as v from 'valibot'
import type { Bus } from './port.js'

/** How often a coordinator says that it is there, ms. */
export const PRESENCE_MS = 1000
/** Who has said nothing for so long is not there, ms. */
export const PRESENT_MS = 3500
/** More coordinators than this are not kept. */
const MAX_MEMBERS = 16
const TOPIC = 'here'

const text = (most: number) => v.pipe(v.string(), v.maxLength(most))
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const presence = v.strictObject({
  coordinator: text(64),
  /** The run of its process, random. */
  run: text(64),
  url: text(2048),
  role: v.picklist(['owner', 'follower', 'joining']),
  /** Of the newest record of its file. */
  epoch: count,
  /** The newest record of its file, and up to where in the log it needs nothing any more. */
  n: count,
  seq: count,
  /** For how long it has been behind, ms; of an owner, how long its oldest turn has waited for the log. */
  behind_ms: count,
  /** It owns the work, has stored everything, and waits for another to take over. */
  leaving: v.boolean(),
})
/** What a coordinator says of itself. */
export type Presence = v.InferOutput<typeof presence>
/** Of another one; `heard`: when, ms, monotonic. */
export interface Member extends Presence {
  heard: number
}

export type Members = ReturnType<typeof hearMembers>

/**
 * Hears which coordinators are there.
 * @param except the run of one that is not heard: one's own; null: all are
 * @param now ms, monotonic
 */
export function hearMembers({
  bus,
  except = null,
  now = () => performance.now(),
}: {
  bus: Pick<Bus, 'subscribe'>
  except?: string | null
  now?: () => number
}) {
  const members = new Map<string, Member>()
  let ownerHeardAt = -Infinity
  const leave = bus.subscribe(TOPIC, (message) => {
    const parsed = read(message)
    if (parsed === null || parsed.run === except) return
    if (!members.has(parsed.run) && members.size >= MAX_MEMBERS) forgetOldest(members)
    if (parsed.role === 'owner') ownerHeardAt = now()
    members.set(parsed.run, { ...parsed, heard: now() })
  })
  const present = (): Member[] => [...members.values()].filter((m) => now() - m.heard <= PRESENT_MS)
  return {
    /** All that are there. */
    present,
    /** The owner that was heard last, there or not; null: none was heard. */
    owner: (): Member | null =>
      [...members.values()]
        .filter((m) => m.role === 'owner')
        .sort((a, b) => b.epoch - a.epoch || b.heard - a.heard)[0] ?? null,
    /** When somebody was heard last who owned the work then, ms, monotonic; -Infinity: never. He may have given it up since. */
    ownerHeardAt: (): number => ownerHeardAt,
    /** Those that follow, by their names. */
    followers: (): Member[] =>
      present()
        .filter((m) => m.role === 'follower')
        .sort((a, b) => (a.coordinator < b.coordinator ? -1 : 1)),
    stop: leave,
  }
}

/**
 * Says that this coordinator is there, and hears who else is. Nothing hangs on it but who tries to take over when, and what is shown.
 * @param own of this moment
 */
export function createPresence({ bus, own, now }: { bus: Bus; own: () => Presence; now?: () => number }) {
  const members = hearMembers({ bus, except: own().run, ...(now === undefined ? {} : { now }) })
  const say = (): void => bus.publish(TOPIC, Buffer.from(JSON.stringify(own())))
  const timer = setInterval(say, PRESENCE_MS)
  say()
  return {
    ...members,
    /** At once, because something has changed. */
    say,
    /** @throws Error when another has the same name: the two would take each other for themselves */
    refuseDouble(): void {
      const { coordinator } = own()
      const other = members.present().find((m) => m.coordinator === coordinator)
      if (other !== undefined)
        throw new Error(
          `another coordinator named ${coordinator} is there (${other.url}): give each its own inference.cluster.coordinator`,
        )
    },
    stop() {
      clearInterval(timer)
      members.stop()
    },
  }
}

function read(message: Uint8Array): Presence | null {
  try {
    const parsed = v.safeParse(presence, JSON.parse(Buffer.from(message).toString()))
    return parsed.success ? parsed.output : null
  } catch {
    return null // of another version, or of somebody else: it is not there
  }
}

function forgetOldest(members: Map<string, Member>): void {
  const [oldest] = [...members.values()].sort((a, b) => a.heard - b.heard)
  if (oldest !== undefined) members.delete(oldest.run)
}
