import type { Scheduler } from '../core/engine/scheduler.js'
import type { TimeSource } from '../lib/clock.js'
import type { Logger } from '../lib/log.js'
import { createSharedTurns } from '../lib/shared-turns.js'
import { createDelivery, type DeliveryParts } from './delivery.js'
import { createPost } from './post.js'
import { createCallbackRelay, type CallbackRelayParts } from './relay.js'

/** How long bodies are made before everything else has its turn, ms. */
const SLICE_MS = 2

/** What of `[callbacks]` is needed here. */
export interface CallbackSettings {
  secret: string
  allow_private: boolean
}

export interface CallbackServiceParts extends Pick<DeliveryParts, 'view'> {
  settings: CallbackSettings
  call: Scheduler['call']
  time: TimeSource
  /** Told how a try has ended. */
  onCallback?: CallbackRelayParts['onEnd']
  log: Logger
}

export type CallbackService = ReturnType<typeof createCallbackService>

/** Tells the ends of tasks to those who have asked for it: posts, signed, to the address that each has named. */
export function createCallbackService({ settings, call, view, time, onCallback, log }: CallbackServiceParts) {
  const { secret, allow_private } = settings
  const { post, close } = createPost({ allowPrivate: allow_private })
  const deliver = createDelivery({
    call,
    post,
    secret,
    view,
    inSteps: createSharedTurns(undefined, SLICE_MS),
    wall: () => time.wall(),
  })
  const relay = createCallbackRelay({ call, deliver, log, ...(onCallback === undefined ? {} : { onEnd: onCallback }) })
  return {
    ...relay,
    async stop(ms: number): Promise<void> {
      await relay.stop(ms)
      close()
    },
  }
}
