/** How often it is looked, ms. */
const LOOK_MS = 50

/**
 * What is asked for, unless it waits behind something that does not go on.
 * @param behind whether that is so; then nothing is asked, and what was asked is waited for no more
 * @returns null: it is behind
 */
export async function unlessBehind<T>(ask: () => Promise<T>, behind: () => boolean): Promise<T | null> {
  if (behind()) return null
  let looking: NodeJS.Timeout | undefined
  const given = new Promise<null>((resolve) => {
    looking = setInterval(() => {
      if (behind()) resolve(null)
    }, LOOK_MS)
  })
  try {
    return await Promise.race([ask(), given])
  } finally {
    clearInterval(looking)
  }
}
