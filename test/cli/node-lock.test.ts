import { expect, test } from 'vitest'
import { cli } from '../support/child.js'
import { startCoordinator } from '../support/scripted-coordinator.js'
import { tempDir } from '../support/temp-dir.js'

test('of nodes that start at once on one state_dir one runs; when it is killed the next start takes its place', async () => {
  const coordinator = await startCoordinator()
  const cwd = tempDir()
  const start = () =>
    cli(['run-inference-node', '--coordinator', coordinator.url, '--model', 'a', '--backend', 'echo'], { cwd })
  const nodes = [start(), start(), start()]
  await coordinator.welcomed()
  const ended = nodes.map(({ exit, err }) => exit.then(({ code }) => ({ code, err: err.join('\n') })))
  const winner = await Promise.race(
    nodes.map(async ({ process: child }, i) => {
      await Promise.all(ended.filter((_, other) => other !== i))
      return child
    }),
  )
  expect(winner.exitCode).toBeNull()
  const refused = await Promise.all(ended.filter((_, i) => nodes[i]?.process !== winner))
  for (const { code, err } of refused) {
    expect(code).toBe(1)
    expect(err).toBe(
      `stacks-signer: ./data/node: another node (pid ${winner.pid}) works with this state_dir; stop that one, or give this one a --key-file and a --state-dir of its own`,
    )
  }
  winner.kill('SIGKILL')
  await Promise.all(ended)
  const next = start()
  await coordinator.welcomed()
  expect(next.process.exitCode).toBeNull()
})
