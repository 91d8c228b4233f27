import { readAddresses } from '../../client/address.js'
import { createRest } from '../../client/rest.js'
import { createWaker } from '../../lib/waker.js'
import { readFeedEvent } from '../feed/describe.js'
import { followFeed } from '../feed/follow-feed.js'
import { modelsSchema, nodesPageSchema, overviewSchema } from './answers.js'
import { withEvent, withOverview, type TopState, type View } from './state.js'

/** How often what the feed does not tell is asked for, ms. */
const REFRESH_MS = 3000
/** The most that a page may hold: of more nodes a terminal is no place for all. */
const MAX_NODES = 1000

export interface WatchParts {
  urls: readonly string[]
  token: string | null
  state(): TopState
  /** Makes another state of the one that is. */
  change(next: (state: TopState) => TopState): void
  halted: AbortSignal
}

/** Keeps what is seen as the service is: by its feed, and by asking for the rest of what the view needs. */
export function watchService({ urls, token, state, change, halted }: WatchParts) {
  const rest = createRest(readAddresses(urls, ''), token ?? undefined)
  const waker = createWaker()
  halted.addEventListener('abort', () => waker.stop())

  const askOverview = async (): Promise<void> => {
    const overview = await rest.get('/api/v1/overview', overviewSchema, halted)
    change((s) => withOverview(s, overview, Date.now()))
  }
  const askModels = async (): Promise<void> => {
    const models = await rest.get('/api/v1/models', modelsSchema, halted)
    change((s) => ({ ...s, models }))
  }
  const askNodes = async (): Promise<void> => {
    const { filter, hasMoreNodes } = state()
    // All of a small fleet are here, and every filter works on them; of a large one the service finds those whose id it is.
    const query = { limit: String(MAX_NODES), ...(hasMoreNodes && filter !== '' ? { q: filter } : {}) }
    const path = `/api/v1/nodes?${new URLSearchParams(query).toString()}`
    const { nodes, next_cursor } = await rest.get(path, nodesPageSchema, halted)
    change((s) => ({ ...s, nodes, hasMoreNodes: next_cursor !== null || 'q' in query }))
  }
  const asks: Readonly<Record<View, readonly (() => Promise<void>)[]>> = {
    overview: [askOverview, askModels],
    models: [askModels],
    nodes: [askNodes],
    feed: [],
  }

  const ask = async (): Promise<void> => {
    while (!halted.aborted) {
      waker.calm()
      try {
        await Promise.all(asks[state().view].map((one) => one()))
        change((s) => ({ ...s, refused: null }))
      } catch (error) {
        if (halted.aborted) return
        change((s) => ({ ...s, refused: error instanceof Error ? error.message : String(error) }))
      }
      await waker.pause(REFRESH_MS)
    }
  }
  const follow = (): Promise<string | null> =>
    followFeed({
      urls,
      token,
      query: {},
      onOpen() {
        change((s) => ({ ...s, link: { is: 'open' } }))
        waker.wake()
      },
      onEvent(message) {
        const event = readFeedEvent(message)
        if (event === null) return
        change((s) => withEvent(s, event, Date.now()))
        if (event.event === 'reset') waker.wake()
      },
      onLost: (why, wait) => change((s) => ({ ...s, link: { is: 'lost', why, again: Date.now() + wait } })),
      halted,
    })

  return {
    /** Something else is looked at. */
    refresh: (): void => waker.wake(),
    /** Until it is halted. @returns why it may not be watched; null when it was halted */
    run: async (): Promise<string | null> => {
      const asking = ask()
      const refusal = await follow()
      if (refusal !== null) return refusal
      await asking
      return null
    },
  }
}
