import { cutToWidth } from '../lib/text-width.js'
import { wrapWords } from '../lib/wrap.js'

/** Rewrites the same lines again and again on a terminal; elsewhere prints only what is news. */
export interface Screen {
  /** What is to be seen now. */
  show(lines: string[]): void
  /** A line that stays. @param indent where it goes on below, when it is wider than the terminal */
  say(line: string, indent?: number): void
}

const USUAL_COLUMNS = 80

export function createScreen(out: NodeJS.WriteStream): Screen {
  let shown = 0
  // In the last column some terminals begin a new line.
  const width = (): number => (out.columns ?? USUAL_COLUMNS) - 1
  const clear = (): string => (shown > 0 ? `\x1b[${shown}A\x1b[J` : '')
  return {
    show(lines) {
      if (!out.isTTY) return
      const fitted = lines.map((line) => cutToWidth(line, width()))
      out.write(`${clear()}${fitted.join('\n')}\n`)
      shown = fitted.length
    },
    say(line, indent = 0) {
      const lines = out.isTTY ? line.split('\n').flatMap((one) => wrapWords(one, width(), indent)) : [line]
      out.write(`${clear()}${lines.join('\n')}\n`)
      shown = 0
    },
  }
}
