import { openFullScreen } from '../../lib/full-screen.js'
import { RestError } from '../../lib/rest-client.js'
import { frame } from './frame.js'
import { press, type Page } from './keys.js'
import { paint } from './line.js'
import { begin, type TopState } from './state.js'
import { watchService } from './watch-service.js'

/** However much happens, it is drawn no more often than this, ms. */
const FRAME_MS = 100
/** What only the clock changes, ms. */
const CLOCK_MS = 1000

export interface InteractiveParts {
  urls: readonly string[]
  /** The address as it may be seen. */
  shown: string
  token: string | null
  isColoured: boolean
}

/** Shows the service on the whole terminal until a key ends it. @throws RestError when it may not be watched any more */
export async function showInteractive({ urls, shown, token, isColoured }: InteractiveParts): Promise<void> {
  let state: TopState = begin()
  let page: Page = { rows: 1, most: 0 }
  const halted = new AbortController()
  const quit = (): void => halted.abort()

  let due: NodeJS.Timeout | undefined
  const draw = (): void => {
    clearTimeout(due)
    due = undefined
    if (halted.signal.aborted) return
    const { columns, rows } = screen.size()
    const drawn = frame(state, { columns, rows }, shown, Date.now())
    page = drawn.page
    screen.draw(drawn.lines.map((one) => paint(one, columns, isColoured)))
  }
  const watched = watchService({
    urls,
    token,
    state: () => state,
    change(next) {
      state = next(state)
      due ??= setTimeout(draw, FRAME_MS)
    },
    halted: halted.signal,
  })
  const screen = openFullScreen({
    input: process.stdin,
    output: process.stdout,
    onKey(key) {
      const next = press(state, key, page)
      if (next === 'quit') return quit()
      if (next === 'suspend') return screen.suspend()
      if (next === 'redraw') return screen.forget()
      const asksAnew = next.view !== state.view || (next.hasMoreNodes && next.filter !== state.filter)
      state = next
      if (asksAnew) watched.refresh()
      draw()
    },
    onResize: draw,
    onLost: quit,
  })
  const clock = setInterval(draw, CLOCK_MS)
  try {
    draw()
    const refusal = await watched.run()
    if (refusal !== null) throw new RestError(refusal)
  } finally {
    quit()
    clearInterval(clock)
    clearTimeout(due)
    screen.close()
  }
}
