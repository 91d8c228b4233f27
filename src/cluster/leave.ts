import { setTimeout as sleep } from 'node:timers/promises'
import * as v from 'valibot'
import { silentLog } from '../lib/log.js'
import { createBus } from './bus.js'
import { connectServers, type LogSettings } from './connection.js'
import { JournalUnreachable } from './port.js'
import { hearMembers } from './presence.js'

/** How long a coordinator may take to answer, and another to take over, ms. */
const ANSWER_MS = 5000
const TAKEOVER_MS = 30_000
const LOOK_MS = 50

const answer = v.strictObject({ error: v.nullable(v.pipe(v.string(), v.maxLength(2000))) })
/** What a coordinator answers that is asked to give the work up; `error`: why it does not. */
export type LeaveAnswer = v.InferOutput<typeof answer>
/** Where it is asked. */
export const leaveTopic = (coordinator: string): string => `leave.${coordinator}`

/** Who owns the work now. */
export interface Successor {
  coordinator: string
  url: string
  epoch: number
}

/**
 * Has the owner of a cluster give the work up to one that follows, and waits until that has it.
 * @throws JournalUnreachable when the log, or the coordinator, gives no answer; Error, whose message says why it does not leave, or that
 * nobody has taken over
 */
export async function leaveOwnership(settings: LogSettings, coordinator: string): Promise<Successor> {
  const log = silentLog()
  const connection = await connectServers(settings, log)
  try {
    const bus = createBus(connection, settings.name, log)
    const members = hearMembers({ bus })
    const said = await bus.request(leaveTopic(coordinator), Buffer.alloc(0), ANSWER_MS).catch((error: unknown) => {
      throw connection.connected()
        ? new JournalUnreachable(
            `no coordinator named ${coordinator} has answered within ${ANSWER_MS / 1000} s: "stacks-signer cluster status" shows those that are there`,
            { cause: error },
          )
        : error
    })
    const { error } = v.parse(answer, JSON.parse(Buffer.from(said).toString()))
    if (error !== null) throw new Error(`${coordinator} does not leave: ${error}`)
    for (const until = performance.now() + TAKEOVER_MS; performance.now() < until; await sleep(LOOK_MS)) {
      const owner = members.present().find((m) => m.role === 'owner' && m.coordinator !== coordinator)
      if (owner !== undefined) return { coordinator: owner.coordinator, url: owner.url, epoch: owner.epoch }
    }
    throw new Error(
      `${coordinator} gives the work up, and no other coordinator has taken over within ${TAKEOVER_MS / 1000} s: see "stacks-signer cluster status", and the logs of the coordinators`,
    )
  } finally {
    await connection.close()
  }
}
