import type { FakeChain } from './chain/fake-chain.js'

/**
 * How often there is a block, ms. The chain remembers 256 of them: with this the longest demo can still be looked up whole at its end.
 */
const BLOCK_MS = 400

export type BlockClock = ReturnType<typeof startBlockClock>

/** Mines a block again and again, until it is paused. */
export function startBlockClock(chain: Pick<FakeChain, 'mine'>) {
  let isPaused = false
  const timer = setInterval(() => {
    if (!isPaused) chain.mine()
  }, BLOCK_MS)
  return {
    pause: (paused: boolean): void => void (isPaused = paused),
    stop: (): void => clearInterval(timer),
  }
}
