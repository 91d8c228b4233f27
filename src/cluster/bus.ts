import { headers, type Msg } from '@nats-io/transport-node'
import type { Logger } from '../lib/log.js'
import type { LogConnection } from './connection.js'
import { MAX_PAYLOAD_BYTES } from './log-check.js'
import { JournalUnreachable, type Bus } from './port.js'

/** How many questions of one topic are answered at once; those beyond it get no answer. */
const MAX_ANSWERS = 1024
const TOPIC = /^[\w-]+(\.[\w-]+)*$/
/** The subject of the journal ends with it. */
const JOURNAL_TOPIC = 'j'
/** On an answer that is none: who answers has failed. */
const FAILED = 'Inference-Failed'

/** How coordinators speak with each other: subjects of NATS that begin with the name of the cluster. */
export function createBus({ nc, askOthers, connected }: LogConnection, name: string, log: Logger): Bus {
  const subjectOf = (topic: string): string => {
    if (!TOPIC.test(topic) || topic === JOURNAL_TOPIC) throw new RangeError(`"${topic}" is no topic of the bus`)
    return `inf.${name}.${topic}`
  }
  const sized = (message: Uint8Array): Uint8Array => {
    if (message.byteLength > MAX_PAYLOAD_BYTES)
      throw new RangeError(`a message of ${message.byteLength} bytes: ${MAX_PAYLOAD_BYTES} are the most on the bus`)
    return message
  }
  const failed = (topic: string, error: unknown): void =>
    log.error({ event: 'cluster.bus_failed', topic, err: error }, 'a message of another coordinator made a fault')
  const listen = (topic: string, told: (msg: Msg) => void): (() => void) => {
    const subscription = nc.subscribe(subjectOf(topic), {
      callback: (error, msg) => {
        if (error !== null) return failed(topic, error)
        try {
          told(msg)
        } catch (fault) {
          failed(topic, fault)
        }
      },
    })
    return () => subscription.unsubscribe()
  }

  return {
    publish(topic, message) {
      const subject = subjectOf(topic)
      // At most once: nothing is kept for later.
      if (connected()) nc.publish(subject, sized(message))
    },
    subscribe: (topic, told) => listen(topic, (msg) => told(msg.data)),
    async request(topic, message, timeout) {
      const subject = subjectOf(topic)
      sized(message)
      const answer = await askOthers(() => nc.request(subject, message, { timeout })).catch((error: unknown) => {
        if (!connected()) throw error
        throw new JournalUnreachable(`no coordinator has answered (${topic}) within ${timeout} ms`, { cause: error })
      })
      if (answer.headers?.has(FAILED) === true)
        throw new JournalUnreachable(`the coordinator that was asked (${topic}) has failed; its log says why`)
      return answer.data
    },
    answer(topic, answer) {
      let answering = 0
      const reply = async (msg: Msg): Promise<void> => {
        try {
          msg.respond(sized(await answer(msg.data)))
        } catch (fault) {
          failed(topic, fault)
          const none = headers()
          none.set(FAILED, '1')
          if (connected()) msg.respond(undefined, { headers: none })
        }
      }
      return listen(topic, (msg) => {
        if (answering >= MAX_ANSWERS) return
        answering++
        reply(msg)
          .catch((fault: unknown) => failed(topic, fault))
          .finally(() => answering--)
      })
    },
  }
}
