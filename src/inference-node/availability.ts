import { featureBits, featuresOf, neededFeatures, type Feature } from '../wire/params.js'
import { longestWait } from '../lib/backoff.js'
import { PROBE, WITHHELD } from './waits.js'
import type { DeclaredStatus } from './events.js'
import type { Offer } from './offer.js'
import { after, within } from '../lib/timer.js'

/** What a node can do now. */
export interface NodeState {
  status: DeclaredStatus
  /** Why it is in maintenance, or does not offer all that it should; empty when there is nothing to say. */
  reason: string
  /** What its hello names. In maintenance: what it named before. */
  models: readonly string[]
  /** What it understands beside plain text. */
  features: readonly Feature[]
}

export interface AvailabilityParts {
  /** What can be served now; throws or rejects while the backend cannot work. */
  look(signal: AbortSignal): Offer | Promise<Offer>
  /** What is to be served, as long as nobody has looked. */
  models: readonly string[]
  /** What is understood where a look says nothing of it. */
  features: readonly Feature[]
  onChange(now: NodeState, before: NodeState): void
}

export type Availability = ReturnType<typeof createAvailability>

interface Withheld {
  /** How often it was offered and not there. */
  times: number
  /** What was said when it was not there. */
  reason: string
  /** Whether it is still not to be offered, though the backend says that it has it. */
  waits: boolean
  cancel(): void
}

/** A look that takes longer has failed, ms: a server that lists no models may have to load one to show that it has it. */
const LOOK_TIMEOUT_MS = 120_000
/** The start does not wait longer for the first look, ms. */
const START_TIMEOUT_MS = 15_000
const nothing = (): void => undefined
/** Whether two lists have the same names in the same order. */
export const sameNames = (a: readonly string[], b: readonly string[]): boolean => a.join('\n') === b.join('\n')

/**
 * Whether the backend can work, and what it can serve. It is looked at at the start, when work has found something wrong, and
 * from then on until all is well.
 */
export function createAvailability({ look, models, features, onChange }: AvailabilityParts) {
  const stopped = new AbortController()
  const withheld = new Map<string, Withheld>()
  let state: NodeState = { status: 'online', reason: '', models, features }
  let failures = 0
  let isLooking = false
  let looksAgain = false
  let cancelLook = nothing

  const become = (next: NodeState): void => {
    const { status, reason } = next
    const isSame = status === state.status && reason === state.reason
    if (isSame && sameNames(next.models, state.models) && sameNames(next.features, state.features)) return
    const before = state
    state = next
    onChange(next, before)
  }
  const isWithheld = (model: string): boolean => withheld.get(model)?.waits === true
  const offered = (): readonly string[] => state.models.filter((model) => !isWithheld(model))

  const take = (offer: Offer): void => {
    for (const [model, entry] of withheld) {
      if (offer.models.includes(model)) continue
      entry.cancel() // when it is listed again, it will be there
      withheld.delete(model)
    }
    const unproven = offer.models.filter(isWithheld)
    const list = offer.models.filter((model) => !isWithheld(model))
    const problems = new Set(unproven.flatMap((model) => withheld.get(model)?.reason ?? []))
    if (offer.problem !== undefined) problems.add(offer.problem)
    const reason = [...problems].join('; ')
    if (list.length > 0) return become({ status: 'online', reason, models: list, features: offer.features ?? features })
    become({ ...state, status: 'maintenance', reason: reason === '' ? 'the model server has no models' : reason })
  }
  const cannotWork = (error: unknown): void =>
    become({ ...state, status: 'maintenance', reason: error instanceof Error ? error.message : String(error) })

  const lookLater = (): void => {
    cancelLook()
    // Grows until a task has been done: a look may find all well where the work does not.
    if (state.status === 'maintenance') cancelLook = after(longestWait(PROBE, failures++), lookNow)
    else if (state.reason !== '') cancelLook = after(PROBE.most, lookNow)
  }
  const lookOnce = async (): Promise<void> => {
    try {
      const offer = await within(LOOK_TIMEOUT_MS, stopped.signal, look)
      if (!stopped.signal.aborted) take(offer)
    } catch (error) {
      if (!stopped.signal.aborted) cannotWork(error)
    }
  }
  const lookUntilDone = async (): Promise<void> => {
    isLooking = true
    do {
      looksAgain = false
      await lookOnce()
    } while (looksAgain && !stopped.signal.aborted)
    isLooking = false
    if (!stopped.signal.aborted) lookLater()
  }
  function lookNow(): void {
    cancelLook()
    if (isLooking) looksAgain = true
    else void lookUntilDone()
  }

  return {
    get state() {
      return state
    },
    /** What is taken now: what the hello names, but for what was found missing since. */
    get offered() {
      return offered()
    },
    /** What a task with these parameters needs that is not understood here. */
    lacking(params: Readonly<Record<string, unknown>> | null | undefined): Feature[] {
      return params == null ? [] : featuresOf(neededFeatures(params) & ~featureBits(state.features))
    },
    /** The first look, before the first hello. */
    async start(): Promise<void> {
      let cancel = nothing
      const late = new Promise<void>((resolve) => {
        cancel = after(START_TIMEOUT_MS, () => {
          cannotWork(`no answer within ${START_TIMEOUT_MS / 1000} s`)
          resolve()
        })
      })
      await Promise.race([lookUntilDone(), late])
      cancel()
    },
    /** Work has found the backend down. */
    down(reason: string): void {
      if (state.status === 'maintenance' || stopped.signal.aborted) return
      cannotWork(reason)
      lookLater()
    },
    /** Work has found that a model is not there: it is offered again when a look finds it, and that later each time. */
    withdraw(model: string, reason: string): void {
      if (stopped.signal.aborted || !offered().includes(model)) return
      const times = withheld.get(model)?.times ?? 0
      const entry: Withheld = { times: times + 1, reason, waits: true, cancel: nothing }
      entry.cancel = after(longestWait(WITHHELD, times), () => {
        entry.waits = false
        lookNow()
      })
      withheld.set(model, entry)
      if (offered().length === 0) cannotWork(reason)
      lookNow() // what else is missing is told the coordinator in the same hello
    },
    /** Work has found something missing that a look can tell. */
    lookAgain(): void {
      if (!stopped.signal.aborted) lookNow()
    },
    /** A task of this model has been done. */
    proven(model: string): void {
      if (state.status === 'online') failures = 0
      if (!isWithheld(model)) withheld.delete(model)
    },
    stop(): void {
      stopped.abort()
      cancelLook()
      for (const { cancel } of withheld.values()) cancel()
    },
  }
}
