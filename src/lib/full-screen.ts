import { createInterface, emitKeypressEvents, type Key } from 'node:readline'
import { PassThrough } from 'node:stream'

/** A terminal as a whole, drawn again and again. What was on it before comes back when it is closed. */
export interface FullScreen {
  /** In characters. */
  size(): { columns: number; rows: number }
  /** What is to be seen now, from the top. Only lines that have changed are sent; none may be wider than the terminal. */
  draw(lines: readonly string[]): void
  /** Stops the program, as Ctrl-Z does, until it is told to go on. */
  suspend(): void
  /** What is seen is not trusted any more: the next draw sends all of it. */
  forget(): void
  close(): void
}

export interface FullScreenParts {
  input: NodeJS.ReadStream
  output: NodeJS.WriteStream
  onKey(key: Key): void
  /** It has another size, or was away: it has to be drawn again. */
  onResize(): void
  /** There is no terminal any more. */
  onLost(): void
}

// The alternate screen, no cursor, and no line that goes on in the next one where a width was misjudged.
const ENTER = '\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J'
const LEAVE = '\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l'
/** What ends a program that does not listen. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const
/** What follows an Esc within this belongs to it, as the rest of an arrow key does, ms. */
const ESCAPE_MS = 100
/** Where nobody stops programs, as without a shell, it goes on after so long, ms. */
const NOT_STOPPED_MS = 200

/**
 * Takes the terminal. It is given back however the program ends: closed, by a signal, by an error that nobody has caught, by
 * `process.exit`.
 */
export function openFullScreen({ input, output, onKey, onResize, onLost }: FullScreenParts): FullScreen {
  let isOpen = false
  let isClosed = false
  let drawn: readonly string[] = []

  const enter = (): void => {
    if (isOpen || isClosed) return
    isOpen = true
    drawn = []
    input.setRawMode(true)
    output.write(ENTER)
  }
  const leave = (): void => {
    if (!isOpen) return
    isOpen = false
    output.write(LEAVE)
    input.setRawMode(false)
  }
  const press = (_text: string | undefined, key: Key): void => onKey(key)
  const resize = (): void => {
    drawn = []
    if (isOpen) output.write('\x1b[2J')
    onResize()
  }
  /** A shell has had the terminal meanwhile, and may have left it otherwise. */
  const goOn = (): void => {
    isOpen = false
    enter()
    onResize()
  }
  const endBy = (signal: NodeJS.Signals): void => {
    close()
    process.kill(process.pid, signal) // nobody listens any more: it ends as by the signal
  }
  const close = (): void => {
    leave()
    isClosed = true
    timing.close()
    input.off('keypress', press).off('end', onLost).off('error', onLost).pause()
    output.off('resize', resize).off('error', onLost)
    for (const signal of SIGNALS) process.off(signal, endBy)
    process.off('SIGCONT', goOn).off('exit', close).off('uncaughtExceptionMonitor', close)
  }

  // It only says how long an Esc is waited for: by itself that would be half a second.
  const timing = createInterface({ input: new PassThrough(), escapeCodeTimeout: ESCAPE_MS })
  emitKeypressEvents(input, timing)
  input.on('keypress', press).on('end', onLost).on('error', onLost).resume()
  output.on('resize', resize).on('error', onLost)
  for (const signal of SIGNALS) process.on(signal, endBy)
  // The monitor hears of an error before it is printed: it has to be seen.
  process.on('SIGCONT', goOn).on('exit', close).on('uncaughtExceptionMonitor', close)
  enter()

  return {
    size: () => ({ columns: output.columns || 80, rows: output.rows || 24 }),
    draw(lines) {
      if (!isOpen) return
      const most = Math.max(lines.length, drawn.length)
      let text = ''
      for (let row = 0; row < most; row++)
        // Emptied first: behind a character in the last column there is nothing to empty.
        if (lines[row] !== drawn[row]) text += `\x1b[${row + 1};1H\x1b[2K${lines[row] ?? ''}`
      drawn = [...lines]
      // Shown as one, where a terminal can do that.
      if (text !== '') output.write(`\x1b[?2026h${text}\x1b[?2026l`)
    },
    suspend() {
      leave()
      // The whole group, as the terminal does it: npx and its shell wait for us otherwise.
      process.kill(0, 'SIGTSTP')
      setTimeout(() => {
        if (!isOpen && !isClosed) goOn()
      }, NOT_STOPPED_MS)
    },
    forget() {
      resize()
    },
    close,
  }
}
