/** Rewrites the same lines again and again on a terminal; elsewhere prints only what is news. */
export interface Screen {
  /** What is to be seen now. */
  show(lines: string[]): void
  /** A line that stays. */
  say(line: string): void
}

const columns = (): number => process.stdout.columns ?? 80

export function createScreen(out: NodeJS.WriteStream): Screen {
  let shown = 0
  const clear = (): string => (shown > 0 ? `\x1b[${shown}A\x1b[J` : '')
  return {
    show(lines) {
      if (!out.isTTY) return
      const fitted = lines.map((line) => (line.length >= columns() ? `${line.slice(0, columns() - 2)}…` : line))
      out.write(`${clear()}${fitted.join('\n')}\n`)
      shown = fitted.length
    },
    say(line) {
      out.write(`${clear()}${line}\n`)
      shown = 0
    },
  }
}

/** A bar of `done` out of `total`. */
export const bar = (done: number, total: number, width = 30): string => {
  const full = total === 0 ? 0 : Math.round((done / total) * width)
  return `[${'#'.repeat(full)}${'.'.repeat(width - full)}] ${done}/${total}`
}
