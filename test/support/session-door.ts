import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'
import { WebSocket } from 'ws'
import type { Operation } from '../../src/core/operations.js'
import { createBudget } from '../../src/lib/budget.js'
import { createTimeShares } from '../../src/lib/time-shares.js'
import { silentLog } from '../../src/lib/log.js'
import { createSessionServer, type SessionServerParts } from '../../src/ws/session-server.js'
import { systemTime } from '../../src/lib/clock.js'
import { openDoors } from './open-doors.js'

const MIB = 1024 * 1024

/** The doors of sessions on a real socket, with a core that says what the test does. Loopback is counted, each address for itself. */
export async function sessionDoor(given: Partial<SessionServerParts> = {}) {
  const said: Operation[] = []
  let lastSession = 0
  const sessions = createSessionServer({
    nextSession: () => ++lastSession,
    send(o) {
      // Who a session counts as is told with its begin: nothing that it has said.
      if (o.op !== 'clientConnected') said.push(o)
    },
    time: systemTime,
    log: silentLog(),
    maxMessageBytes: 4 * MIB,
    maxMessagesPerSecond: 20_000,
    maxHandshakes: 100,
    maxHandshakesPerAddress: 100,
    maxSessions: 1000,
    maxSessionsPerAddress: 1000,
    maxUpgradesPerSecond: 1000,
    ...openDoors(),
    anonymousSubmit: false,
    receiving: createBudget({ address: 64 * MIB, service: 256 * MIB }),
    unsent: createBudget({ address: 256 * MIB, service: 512 * MIB }),
    shares: createTimeShares(),
    publicHosts: [],
    ...given,
  })
  const server = createServer()
  server.on('upgrade', (request, socket, head) => sessions.upgrade(request, socket, head))
  await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve))
  onTestFinished(async () => {
    sessions.closeAll('stopping', 'the test is over')
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  return { said, sessions, host: `127.0.0.1:${(server.address() as AddressInfo).port}` }
}

/** What the upgrade is answered, as an HTTP status. */
export const refusedUpgrade = (
  host: string,
  protocols: string[] = ['inference-client.v1'],
  path = '/api/v1/tasks/connect',
) =>
  new Promise<number>((resolve, reject) => {
    const socket = new WebSocket(`ws://${host}${path}`, protocols)
    socket.on('unexpected-response', (_request, response) => resolve(response.statusCode ?? 0))
    socket.on('open', () => reject(new Error('it was taken')))
    socket.on('error', () => undefined)
  })
