import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Told what ends what was started; the last is ended first. */
export type OnEnd = (release: () => Promise<void> | void) => void

/**
 * Plays in a folder of its own, which is gone at the end, as is all that was started: also when a signal ends it, or its terminal is
 * closed.
 * @param name the begin of the folder's name
 */
export async function playInFolder(
  name: string,
  play: (dir: string, onEnd: OnEnd) => Promise<boolean>,
): Promise<boolean> {
  const dir = mkdtempSync(join(tmpdir(), name))
  const releasers: (() => Promise<void> | void)[] = [() => rmSync(dir, { recursive: true, force: true })]
  const cleanUp = async (): Promise<void> => {
    for (const release of releasers.splice(0).reverse()) await release()
  }
  const onSignal = (): void => void cleanUp().finally(() => process.exit(130))
  // SIGHUP: its terminal is closed. What cannot be written there any more must not keep it from ending what it has started.
  const onLostTerminal = (): void => undefined
  process.stderr.on('error', onLostTerminal)
  for (const signal of SIGNALS) process.once(signal, onSignal)
  try {
    return await play(dir, (release) => releasers.push(release))
  } finally {
    process.stderr.off('error', onLostTerminal)
    for (const signal of SIGNALS) process.off(signal, onSignal)
    await cleanUp()
  }
}
