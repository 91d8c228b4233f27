import type { Guard } from './guard.js'

/** How long a session has to show that it is alive when another one comes in the name of its node, ms. */
const PROBE_MS = 2000

/** An open session of a node, as those see it that come in its name. */
export interface Rival {
  readonly nodeId: string
  readonly key: string
  /** Pings it, and calls `heard` for whatever is heard of it from then on. @returns ends that */
  listen(heard: () => void): () => void
}
/** Told whether the session that is there is alive: then it stays, else the newcomer may come in. Never throws. */
type Newcomer = (alive: boolean) => void

interface Probe {
  /** In the order of their coming: the first is let in, and the others have to deal with that one then. */
  newcomers: Newcomer[]
  /** Ends the round that is under way. */
  stop(): void
}

type Name = Pick<Rival, 'nodeId' | 'key'>
const textOf = ({ nodeId, key }: Name): string => `${key} ${nodeId}`
const idle = (): void => undefined

export type Rivals = ReturnType<typeof createRivals>

/** Which node sessions are open, and what becomes of a second one with the same key: it waits until the first was probed. */
export function createRivals({ logged }: Pick<Guard, 'logged'>) {
  /** By node_id. Almost always one for each. */
  const open = new Map<string, readonly Rival[]>()
  const probes = new Map<string, Probe>()
  const rivalsOf = ({ nodeId, key }: Name): Rival[] => (open.get(nodeId) ?? []).filter((r) => r.key === key)

  /** Lets newcomers in while nobody is there; else asks whether he is alive. */
  const next = (name: Name, probe: Probe): void => {
    while (probe.newcomers.length > 0) {
      const rivals = rivalsOf(name)
      if (rivals.length > 0) return ask(name, probe, rivals)
      probe.newcomers.shift()?.(false)
    }
    probe.stop()
    probes.delete(textOf(name))
  }
  const ask = (name: Name, probe: Probe, rivals: readonly Rival[]): void => {
    probe.stop()
    const heard = (): void => {
      probe.stop()
      probes.delete(textOf(name))
      for (const refuse of probe.newcomers.splice(0)) refuse(true)
    }
    const silent = logged((): void => {
      if (probe.stop !== stop) return // it was heard, or has ended
      stop()
      probe.newcomers.shift()?.(false)
      next(name, probe)
    })
    const ends: (() => void)[] = []
    // One that cannot be asked is silent.
    const listen = logged((rival: Rival) => void ends.push(rival.listen(heard)))
    rivals.forEach((rival) => listen(rival))
    // What it said may have come while the event loop was busy: timers are run before what has arrived is read.
    const timer = setTimeout(() => setImmediate(silent), PROBE_MS)
    const stop = (): void => {
      probe.stop = idle
      clearTimeout(timer)
      for (const end of ends) end()
    }
    probe.stop = stop
  }

  return {
    /** A session is open from here on. */
    join(session: Rival) {
      open.set(session.nodeId, [...(open.get(session.nodeId) ?? []), session])
    },

    /** It has ended: who waits for that comes in. */
    leave(session: Rival) {
      const others = (open.get(session.nodeId) ?? []).filter((s) => s !== session)
      if (others.length > 0) open.set(session.nodeId, others)
      else open.delete(session.nodeId)
      const probe = probes.get(textOf(session))
      if (probe !== undefined && rivalsOf(session).length === 0) next(session, probe)
    },

    /** Tells the newcomer whether a session with this name and key is alive: at once when there is none. @returns gives it up */
    probe(name: Name, newcomer: Newcomer): () => void {
      if (rivalsOf(name).length === 0) {
        newcomer(false)
        return idle
      }
      const known = probes.get(textOf(name))
      const probe = known ?? { newcomers: [], stop: idle }
      probe.newcomers.push(newcomer)
      if (known === undefined) {
        probes.set(textOf(name), probe)
        next(name, probe)
      }
      return () => {
        probe.newcomers = probe.newcomers.filter((n) => n !== newcomer)
        if (probe.newcomers.length > 0 || probes.get(textOf(name)) !== probe) return
        probe.stop()
        probes.delete(textOf(name))
      }
    },
  }
}
