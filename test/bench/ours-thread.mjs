// This service with its core in a thread of its own, beside the default.
import * as ours from './ours.mjs'

export const title = 'this service, core_thread'
export const { durability, ways, idleWays, connectSubmitter, connectNodes } = ours
export const start = (options) => ours.start({ ...options, config: { core_thread: true } })
