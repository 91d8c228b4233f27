import { toSeconds } from '../../lib/clock.js'
import type { Node } from '../nodes/node.js'
import type { Context } from '../context.js'

/** So many nodes that come back within a step mean that others are on their way, or wait for their handshake. */
const MANY_RETURNS = 10
/** The grace after a start goes on for at most so many times `restart_grace`. */
const MAX_GRACES = 4

export type RestartGrace = ReturnType<typeof createRestartGrace>

/**
 * How long what nodes hold is kept for them after a start of the coordinator: for `restart_grace`, and while many of them
 * are just coming back for half of it more, again and again. Where thousands come back at once they have to queue, and none
 * may lose its work to that. Where few do, it is `restart_grace` and no longer.
 */
export function createRestartGrace(ctx: Context) {
  const { registry, options } = ctx
  const step = options.restartGrace / 2
  const limit = ctx.now + MAX_GRACES * options.restartGrace
  const state = {
    /** When the last MANY_RETURNS nodes came back, service clock, ms. */
    returns: [] as readonly number[],
    /** How long it goes on as of now, service clock, ms. */
    until: 0,
  }

  const goesOn = (): boolean =>
    state.returns.length === MANY_RETURNS && ctx.now - (state.returns[0] ?? 0) <= step && ctx.now < limit

  return {
    /** Call when a session was opened, with its node as it was before. */
    opened(node: Node): void {
      if (node.reclaimAt === null || node.reclaimFault !== 'coordinator') return
      ctx.undo.keep(state)
      state.returns = [...state.returns, ctx.now].slice(-MANY_RETURNS)
    },

    /**
     * Until when a node whose session ends now keeps its tasks while others are still coming back, because it has to queue
     * with them once more; null when they are not.
     */
    graceForDisconnected: (): number | null =>
      goesOn() ? Math.min(limit, ctx.now + Math.max(step, options.reconnectGrace)) : null,

    /** Until when the grace goes on that is over now, ms of the service clock; null when it does not. */
    extend(): number | null {
      if (state.until > ctx.now) return state.until
      if (!goesOn()) return null
      ctx.undo.keep(state)
      const until = Math.min(limit, ctx.now + step)
      state.until = until
      // Else the clock would end what the node may still resume.
      ctx.store.attempts.extendLeases(until)
      registry.extendLeases(until)
      ctx.log('info', 'restart_grace.extended', {
        seconds: toSeconds(until - ctx.now),
        away: registry.disconnected.size,
      })
      return until
    },
  }
}
