/** The log tells of what happens again and again no more often, ms. */
const TELL_EVERY_MS = 60_000

/** Tells how often something has happened: at once, and then once in a while. */
export function createTally(tell: (count: number) => void): () => void {
  let count = 0
  let timer: NodeJS.Timeout | undefined
  const flush = (): void => {
    timer = undefined
    if (count === 0) return
    tell(count)
    count = 0
    timer = setTimeout(flush, TELL_EVERY_MS).unref()
  }
  return () => {
    count++
    if (timer === undefined) flush()
  }
}
