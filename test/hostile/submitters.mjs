import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocket } from 'ws'
import { answerTo, submissionOf } from './ledger.mjs'
import { createRest } from './rest.mjs'

/** Submits over REST: (number) => void. What was not answered is submitted again under its id. */
export async function restSubmitter({ url, ledger, ended }, from) {
  const rest = createRest(url, from)
  return async (number) => {
    for (; !ended.aborted; await sleep(500)) {
      const answer = await rest('POST', '/api/v1/tasks/submit', submissionOf(number))
      if (answer.status === 200) return ledger.acknowledge(number)
      if (answer.status !== 0) return ledger.refuse(`submit: ${answer.status} ${answer.code}`)
      ledger.trouble(`submit: ${answer.code}`)
    }
  }
}

/** The same over a session, which also gets every result; it opens another one when it was closed. */
export async function sessionSubmitter({ url, ledger, ended }, from) {
  const { host } = new URL(url)
  /** By number: submissions without an answer. */
  const waiting = new Set()
  let socket
  const send = (number) => {
    if (socket.readyState !== WebSocket.OPEN) return
    socket.send(JSON.stringify({ type: 'task.submit', ref: String(number), watch: 'result', ...submissionOf(number) }))
  }
  const heard = {
    'task.submitted'({ ref }) {
      if (waiting.delete(Number(ref))) ledger.acknowledge(Number(ref), { watched: true })
    },
    'task.result'({ task_id, status, result }) {
      ledger.result()
      if (status !== 'completed' || result?.output !== answerTo(task_id))
        ledger.wrong(`the result of ${task_id} is ${status} ${JSON.stringify(result)?.slice(0, 100)}`)
    },
    error({ ref, code, message }) {
      if (ref === undefined) ledger.wrong(`a submitter's session was answered ${code}: ${message}`)
      else if (waiting.delete(Number(ref))) ledger.refuse(`submit in a session: ${code}`)
    },
  }
  const open = () =>
    new Promise((resolve, reject) => {
      socket = new WebSocket(`ws://${host}/api/v1/tasks/connect`, ['inference-client.v1'], {
        perMessageDeflate: false,
        localAddress: from,
        handshakeTimeout: 15_000,
      })
      let opened = false
      socket.on('open', () => {
        opened = true
        for (const number of waiting) send(number)
        resolve()
      })
      socket.on('message', (data) => {
        const value = JSON.parse(data)
        for (const m of Array.isArray(value) ? value : [value]) heard[m.type]?.(m)
      })
      socket.on('error', reject) // 'close' follows
      socket.on('close', (code, reason) => {
        reject(new Error(`closed with ${code} ${reason}`))
        if (opened && !ended.aborted) void again(code, reason)
      })
    })
  const again = async (code, reason) => {
    ledger.closed(`the submitter at ${from} with ${code} ${reason}`)
    for (; !ended.aborted; await sleep(1000)) {
      try {
        return await open()
      } catch (error) {
        ledger.trouble(`the submitter at ${from} cannot come back: ${error.message}`)
      }
    }
  }
  ended.addEventListener('abort', () => socket.close(1000))
  await open()
  return (number) => {
    waiting.add(number)
    send(number)
  }
}
