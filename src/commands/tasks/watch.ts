import { defineCommand } from 'citty'
import * as v from 'valibot'
import { RestError } from '../../lib/rest-client.js'
import { harmless, oneLine } from '../../lib/table.js'
import type { ClientAnswer } from '../../wire/client-answers.js'
import { refuseMore, serviceArgs, serviceAt, serviceUrls } from '../service-call.js'
import { readToken } from '../token.js'
import { parseTaskId, pathOf, taskId } from './task-call.js'
import { watchTask } from './task-session.js'
import { createTaskText } from './task-text.js'

/** Of a program that a Ctrl-C has ended, as shells have it. */
const INTERRUPTED_CODE = 130

/** Where a watch shows what it sees. */
interface Display {
  /** What happens to the task. */
  say(line: string): void
  /** A piece of the text. @param anew what came before it does not count */
  text(piece: string, anew: boolean): void
  /** @param rest what of the output has not come as text; anew: all of it, for the text was another */
  result(output: string, rest: string, anew: boolean): void
}

/**
 * On a terminal the text comes as it is made, between the lines that say what happens. Elsewhere standard output has the result
 * alone, byte for byte: text that came may turn out not to count.
 */
function createDisplay(id: string): Display {
  let inLine = false
  const say = (line: string): void => {
    endLine()
    process.stderr.write(`${oneLine(`${id}: ${line}`)}\n`)
  }
  const endLine = (): void => {
    if (inLine) process.stdout.write('\n')
    inLine = false
  }
  if (!process.stdout.isTTY)
    return { say, text: () => undefined, result: (output) => void process.stdout.write(`${output}\n`) }
  const text = (piece: string, anew: boolean): void => {
    if (anew) say('the text begins anew')
    if (piece === '') return
    process.stdout.write(harmless(piece))
    inLine = !piece.endsWith('\n')
  }
  return {
    say,
    text,
    result(_, rest, anew) {
      text(rest, anew)
      endLine()
    },
  }
}

export default defineCommand({
  meta: {
    name: 'watch',
    description: 'Follow a task to its end, with its text as it is made; the exit code is 0 when it is completed',
  },
  args: {
    ...taskId,
    ...serviceArgs,
    json: { type: 'boolean', description: 'Print each message of the session as a line of JSON' },
  },
  async run({ args }) {
    refuseMore(args._, 1)
    const task_id = parseTaskId(args.id)
    // Says in its sentences what a session cannot: that there is no service, or no such task.
    await serviceAt(args).get(`${pathOf(args.id)}/status`, v.looseObject({ status: v.string() }))

    const display = createDisplay(task_id)
    const text = createTaskText()
    let said = ''
    const say = (line: string): void => {
      if (line !== said) display.say(line)
      said = line
    }
    const take = (message: ClientAnswer): boolean => {
      if (args.json === true) console.log(JSON.stringify(message))
      switch (message.type) {
        case 'task.status':
          if (args.json !== true)
            say(message.attempt === 0 ? message.status : `${message.status}, attempt ${message.attempt}`)
          return false
        case 'task.output': {
          const { text: added, anew } = text.add(message)
          if (args.json !== true) display.text(added, anew)
          return false
        }
        case 'task.result': {
          const good = message.status === 'completed' || message.status === 'submitted'
          if (!good) process.exitCode = 1
          if (args.json === true) return true
          if (message.result !== null) {
            const { text: rest, anew } = text.finish(message.result.output)
            display.result(message.result.output, rest, anew)
          }
          const more = good && message.result === null ? 'this token may not read its text' : message.error
          say(more === null ? message.status : `${message.status}: ${more}`)
          return true
        }
        default:
          return false
      }
    }

    const interrupted = new AbortController()
    const onInterrupt = (): void => interrupted.abort()
    process.once('SIGINT', onInterrupt)
    try {
      const refusal = await watchTask({
        urls: serviceUrls(args.url),
        token: readToken(args['token-file']),
        watch: () => ({ type: 'task.watch', task_id, watch: 'output', ...text.position() }),
        onMessage: take,
        onLost: (why, wait) => display.say(`${why}; watching again in ${Math.ceil(wait / 1000)} s`),
        halted: interrupted.signal,
      })
      if (refusal !== null) throw new RestError(refusal)
    } finally {
      process.off('SIGINT', onInterrupt)
    }
    if (!interrupted.signal.aborted) return
    process.exitCode = INTERRUPTED_CODE
    if (process.stderr.isTTY) process.stderr.write('\n') // behind the ^C
    display.say('it goes on without you; tasks watch and tasks show have what becomes of it')
  },
})
