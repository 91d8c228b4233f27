import { expect, onTestFinished, test, vi } from 'vitest'
import * as v from 'valibot'
import type { Operation } from '../../src/core/operations.js'
import type { OverviewWindow } from '../../src/wire/watch-answers.js'
import { nodeMessages } from '../../src/wire/node.js'
import { assigned, coreHarness, outcomeOf } from '../support/core-harness.js'
import { seeded } from '../support/seeded.js'

type World = ReturnType<typeof coreHarness>

const windows: OverviewWindow[] = ['15m', '1h', '24h']
const look = (world: World, window: OverviewWindow, model: string | null = null) => {
  const found = outcomeOf(world.turn({ op: 'overview', window, model }), 'overview')
  if (found?.ok !== true) throw new Error('no overview')
  const { series, failures } = found.value
  return { series, failures }
}

/** Tasks of two models come, are worked on and end, while time passes and the clock is set. @param after each step */
function live(seed: number, after: (world: World) => void): World {
  const random = seeded(seed)
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T
  const world = coreHarness({ max_queue_time: 300, max_attempts: 3 })
  let session = 0
  const held: ReturnType<typeof assigned> = []
  const run = (...operations: Operation[]): void => void held.push(...assigned(world.turn(...operations).effects))
  const say = (type: 'task.accept' | 'task.complete' | 'task.fail', more: Record<string, unknown>): void => {
    const task = held[Math.floor(random() * held.length)]
    if (task === undefined) return
    const { task_id, attempt, session } = task
    const message = v.parse(nodeMessages[type], { type, task_id, attempt, ...more })
    run({ op: 'nodeMessage', session, message })
  }
  const steps: (() => void)[] = [
    () => run(world.hello(++session, `n${session % 3}`, 2)),
    () => void held.push(...assigned(world.submit(pick([1, 5]), { model_name: pick(['llama', 'llama', 'gemma']) }).effects)), // prettier-ignore
    () => say('task.accept', {}),
    () => say('task.complete', { output: 'x', confidence: 1, usage: { prompt_tokens: 3, completion_tokens: 7 } }),
    () => say('task.fail', { error: 'broke', retryable: random() < 0.5 }),
    () => world.time.jump(pick([0.2, 1, 1.9, 1.9, 7, 61])),
  ]
  for (let i = 0; i < 250; i++) {
    if (random() < 0.06) world.time.set(pick([-400, -61, -7, 7, 61, 3700]))
    pick(steps)()
    after(world)
  }
  return world
}

test.each([1, 2, Math.floor(Math.random() * 1e9)])(
  'series that are read all along say the same as those that are read once (seed %i)',
  (seed) => {
    vi.useFakeTimers({ toFake: ['Date'] }) // both begin at the same time
    onTestFinished(() => void vi.useRealTimers())
    let most = 0
    const looks = seeded(seed + 1)
    const watched = live(seed, (world) => {
      world.turn({ op: 'stats' })
      // Now and then, so that the clock is also set back and forward between two looks.
      if (looks() < 0.6) return
      for (const window of windows) most = Math.max(most, ...look(world, window).series.completed)
    })
    const unwatched = live(seed, (world) => void world.turn({ op: 'stats' })) // its clock is read as often
    for (const window of windows) {
      const seen = look(watched, window)
      expect([window, seen]).toEqual([window, look(unwatched, window)])
      expect(look(watched, window, 'llama')).toEqual(look(unwatched, window, 'llama'))
    }
    expect(most).toBeGreaterThan(0)
  },
  30_000,
)
