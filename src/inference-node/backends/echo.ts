import { pause } from '../../lib/timer.js'
import type { Backend } from './backend.js'

/**
 * For trying things out: the answer is the input, word by word.
 * @param delay seconds before each word
 */
export function echo({ delay = 0 }: { delay?: number | undefined } = {}): Backend {
  return {
    async *work({ user_input }, signal) {
      for (const word of user_input.match(/\s*\S+\s*$|\s*\S+|^\s+$/g) ?? []) {
        if (delay > 0) await pause(delay * 1000, signal)
        signal.throwIfAborted()
        yield word
      }
    },
    check: () => Promise.resolve(),
  }
}
