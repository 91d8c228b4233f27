import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { taskRoutes } from '../contract/task-routes.js'
import { refuse } from '../lib/result.js'
import { createTaskEvents, type TaskEvent, type TextPlace } from '../wire/task-events.js'
import { errors, type ErrorCode } from '../wire/codes.js'
import type { ClientAnswer } from '../wire/client-answers.js'
import { fail, noContent, type RouteContext } from './answers.js'
import { openEventStream, type EventStream } from './event-stream.js'
import { pathId } from './paths.js'
import type { RouteParts } from './route-parts.js'
import type { Routes } from './routes.js'

/** Where a reader has got to: the id of the last event that it has. */
interface LastEvent extends TextPlace {
  /** It had the result. */
  ended: boolean
}

const FROM_THE_BEGINNING: LastEvent = { attempt: 0, offset: 0, ended: false }

/** @param id `attempt.offset`, or `attempt.offset.end`; anything else is the beginning */
export function readLastEvent(id: string | undefined): LastEvent {
  const [, attempt, offset, end] = /^(\d{1,9})\.(\d{1,10})(\.end)?$/.exec(id ?? '') ?? []
  return attempt === undefined
    ? FROM_THE_BEGINNING
    : { attempt: Number(attempt), offset: Number(offset), ended: end !== undefined }
}

/** The id of an event, where it moves its reader on. */
function idOf(event: TaskEvent, { attempt, offset }: TextPlace): string | undefined {
  if (event.event === 'result') return `${attempt}.${offset}.end`
  return event.event === 'output' && event.channel === 'text'
    ? `${attempt}.${event.offset + event.delta.length}`
    : undefined
}

/** The words of a task as they come, as server-sent events. */
export function eventRoutes({ get }: Routes, { watchers }: RouteParts): void {
  get(taskRoutes.followTask, (c) => {
    const id = pathId(c.req.url, 'task_id')
    if (!id.ok) return fail(c, id)
    return follow(c, watchers, id.value)
  })
}

function follow(c: RouteContext, watchers: RouteParts['watchers'], taskId: string): Promise<Response> {
  const exchange = c.env
  const last = readLastEvent(c.req.header('last-event-id'))
  return new Promise((resolve) => {
    const events = createTaskEvents(last)
    let stream: EventStream | null = null
    const refuseWith = (code: ErrorCode, message: string): void => {
      watcher.end()
      if (stream === null) resolve(fail(c, refuse(code, message)))
      else stream.end() // the reader comes again, and is told then
    }
    const on = (message: ClientAnswer): void => {
      if (message.type === 'error')
        return refuseWith(message.code in errors ? (message.code as ErrorCode) : 'internal', message.message)
      if (message.type === 'task.submitted') return
      if (message.type === 'task.result' && last.ended) {
        watcher.end()
        return resolve(noContent(c))
      }
      if (stream === null) {
        stream = openEventStream(exchange, { retry: true })
        resolve(RESPONSE_ALREADY_SENT)
      }
      for (const event of events.take(message)) {
        const { event: name, ...data } = event
        stream.send({ event: name, id: idOf(event, events.place), data: JSON.stringify(data) })
      }
      if (message.type !== 'task.result') return
      watcher.end()
      stream.end()
    }
    const watcher = watchers.open({
      by: exchange.by,
      keys: exchange.keys,
      on,
      onStop: () => refuseWith('stopping', 'the service is stopping; ask again in a few seconds'),
    })
    exchange.onEnd(() => watcher.end())
    watcher.watch(taskId, 'output', last)
  })
}
