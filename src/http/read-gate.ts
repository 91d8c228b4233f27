/** The most reads at once. */
const MOST = 32
/** The most bytes of answers that are being made, as far as those before them tell; at least one is. */
const MOST_BYTES = 8 * 1024 * 1024
/** How much of the largest answer is still expected after each that is smaller. */
const FADES = 0.95

/**
 * Lets few reads through at once while their answers are large: a turn of the core reads all that are asked, and each is in
 * memory several times before it is sent. Others wait, in order.
 */
export function createReadGate() {
  const waiting: (() => void)[] = []
  let reading = 0
  /** Bytes. */
  let expected = 0
  const next = (): void => {
    while (waiting.length > 0 && hasRoom()) {
      reading++
      waiting.shift()?.()
    }
  }
  const hasRoom = (): boolean => reading < MOST && (reading === 0 || (reading + 1) * expected <= MOST_BYTES)
  return {
    /** Resolves when there is room for one more. Then leave() has to follow. */
    enter(): Promise<void> | undefined {
      if (waiting.length === 0 && hasRoom()) {
        reading++
        return undefined
      }
      return new Promise((resolve) => waiting.push(resolve))
    },
    /** @param size of the answer that came of it, about: units of text */
    leave(size: number): void {
      reading--
      expected = Math.max(size, expected * FADES)
      if (waiting.length > 0) setImmediate(next)
    },
  }
}
export type ReadGate = ReturnType<typeof createReadGate>
