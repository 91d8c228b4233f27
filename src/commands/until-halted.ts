/** Of a program that a Ctrl-C has ended, as shells have it. */
const INTERRUPTED_CODE = 130

/**
 * Runs what would go on for ever, until Ctrl-C (exit code 130), or until nobody reads standard output any more, as with `| head`: that
 * is a good end.
 */
export async function untilHalted(run: (halted: AbortSignal) => Promise<void>): Promise<void> {
  const halted = new AbortController()
  const onClosed = (): void => halted.abort()
  const onInterrupt = (): void => {
    process.exitCode = INTERRUPTED_CODE
    halted.abort()
  }
  process.stdout.once('error', onClosed)
  process.once('SIGINT', onInterrupt)
  try {
    await run(halted.signal)
  } finally {
    process.off('SIGINT', onInterrupt)
    process.stdout.off('error', onClosed)
  }
}
