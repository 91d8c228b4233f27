/**
 * A coordinator in a process of its own, ready to be started: waits for one message with its settings and the commit
 * point at which it is to end itself, if any. `paid`: its signer and how it looks at the chain. Says where it listens. SIGTERM stops it in order.
 */
import { createCoordinator, inferenceDefaults } from '../../dist/coordinator.js'
import { silentLog } from '../../dist/lib/log.js'
import makeOnCommitPoint from './kill-point.mjs'

let stopping = false
process.on('disconnect', () => {
  if (!stopping) process.exit(1) // who started us is gone
})

process.once('message', ({ settings, paid, kill }) => {
  const coordinator = createCoordinator({
    settings: inferenceDefaults(settings),
    ...paid,
    log: silentLog(),
    onCommitPoint: makeOnCommitPoint(kill),
    commitPoints: { module: new URL('kill-point.mjs', import.meta.url).href, argument: kill },
  })
  process.once('SIGTERM', () => {
    stopping = true
    void coordinator.stop().then(() => process.disconnect())
  })
  void coordinator.listen().then(({ url, observer }) => process.send({ url, observer }))
})
