import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readLastEvent } from '../../src/http/event-routes.js'
import { openEvents } from '../support/event-source.js'
import { connectNode, nextAssign, nextSettled, type TestNode } from '../support/node-session.js'
import { startService, task, type Service } from '../support/service.js'
import { tempDir } from '../support/temp-dir.js'
import { join } from 'node:path'

const path = (id: string): string => `/api/v1/tasks/${id}/events`
const says = (node: TestNode, a: { task_id: string; attempt: number }, seq: number, delta: string, channel?: string) =>
  node.say({
    type: 'task.output',
    task_id: a.task_id,
    attempt: a.attempt,
    seq,
    delta,
    ...(channel === undefined ? {} : { channel }),
  })

/** A task that a node works on, whose words are read from the beginning. */
async function begun(service: Service, id = 'A') {
  await service.submit(task({ task_id: id }))
  const stream = await openEvents(service, path(id))
  expect(await stream.next()).toMatchObject({ event: 'status', data: { status: 'pending', attempt: 0 } })
  const node = await connectNode(service, `node of ${id}`)
  const a = await nextAssign(node, id)
  expect(a.stream).toBe(true)
  node.accept(a)
  expect(await stream.next()).toMatchObject({ event: 'status', data: { status: 'in_progress', attempt: 1 } })
  return { stream, node, a }
}

describe('the words of a task as server-sent events', () => {
  test('come as they are made, with their place, and end with the result', async () => {
    const service = await startService()
    const { stream, node, a } = await begun(service)
    expect(stream.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
    says(node, a, 0, 'let me see', 'reasoning')
    says(node, a, 1, 'Pa')
    says(node, a, 2, 'ris')
    expect(await stream.next()).toEqual({ event: 'output', id: undefined, data: { task_id: 'A', attempt: 1, channel: 'reasoning', offset: 0, delta: 'let me see' } }) // prettier-ignore
    expect(await stream.next()).toEqual({ event: 'output', id: '1.2', data: { task_id: 'A', attempt: 1, channel: 'text', offset: 0, delta: 'Pa' } }) // prettier-ignore
    expect(await stream.next()).toMatchObject({ id: '1.5', data: { offset: 2, delta: 'ris' } })
    node.say({ type: 'task.complete', ...ref(a), output: 'Paris.', confidence: 1, finish_reason: 'stop', reasoning: 'let me see', usage: { prompt_tokens: 3, completion_tokens: 2 } }) // prettier-ignore
    // What was not streamed comes before the result.
    expect(await stream.next()).toMatchObject({ event: 'output', id: '1.6', data: { offset: 5, delta: '.' } })
    expect(await stream.next()).toMatchObject({
      event: 'result',
      id: '1.6.end',
      data: {
        status: 'completed',
        error: null,
        result: { output: 'Paris.', finish_reason: 'stop', reasoning: 'let me see', usage: { completion_tokens: 2 } },
      },
    })
    await stream.over
  })

  test('go on where a reader was: none is lost, none is told twice; after the result it is told that nothing comes', async () => {
    const service = await startService()
    const { stream, node, a } = await begun(service)
    says(node, a, 0, 'one ')
    const { id } = await stream.next()
    stream.cut()
    says(node, a, 1, 'two ')
    const again = await openEvents(service, path('A'), { 'Last-Event-ID': id ?? '' })
    await again.next()
    expect(await again.next()).toMatchObject({ id: '1.8', data: { offset: 4, delta: 'two ' } })
    node.complete(a, 'one two three')
    expect(await again.next()).toMatchObject({ data: { offset: 8, delta: 'three' } })
    const last = await again.next()
    await again.over
    expect((await openEvents(service, path('A'), { 'Last-Event-ID': last.id ?? '' })).status).toBe(204)
    const late = await openEvents(service, path('A'), { 'Last-Event-ID': 'nonsense' })
    expect(await late.next()).toMatchObject({ event: 'output', data: { offset: 0, delta: 'one two three' } })
    expect(await late.next()).toMatchObject({ event: 'result' })
  })

  test('of a later attempt are told to begin anew', async () => {
    const service = await startService()
    const { stream, node, a } = await begun(service)
    const other = await connectNode(service, 'other')
    says(node, a, 0, 'half of it')
    await stream.next()
    node.say({ type: 'task.fail', ...ref(a), error: 'broken', retryable: true })
    const b = await nextAssign(other, 'A')
    expect(await stream.next()).toEqual({ event: 'restart', id: undefined, data: { task_id: 'A', attempt: 2 } })
    expect(await stream.next()).toMatchObject({ event: 'status', data: { attempt: 2 } })
    other.complete(b, 'whole')
    expect(await stream.next()).toMatchObject({ event: 'output', data: { attempt: 2, offset: 0, delta: 'whole' } })
    expect(await stream.next()).toMatchObject({ event: 'result', data: { status: 'completed' } })
  })

  test('of a task that ends without a result end with its error', async () => {
    const service = await startService()
    const { stream, node, a } = await begun(service)
    node.say({ type: 'task.fail', ...ref(a), error: 'too long', retryable: false, code: 'context_length_exceeded' })
    expect(await stream.next()).toMatchObject({ event: 'result', data: { status: 'failed', result: null, error: 'too long', code: 'context_length_exceeded' } }) // prettier-ignore
    await stream.over
    expect((await service.status('A')).code).toBe('context_length_exceeded')
  })

  test('that began before anybody read are all there for who comes later', async () => {
    const service = await startService()
    const node = await connectNode(service, 'n')
    await service.submit(task({ task_id: 'A' }))
    const a = await nextAssign(node, 'A')
    node.accept(a)
    says(node, a, 0, 'early')
    await service.get('/api/v1/stats')
    const stream = await openEvents(service, path('A'))
    await stream.next()
    expect(await stream.next()).toMatchObject({ data: { offset: 0, delta: 'early' } })
  })

  test('outlive the service: cut again and again, also by restarts, the text arrives whole, each character once', async () => {
    const file = join(tempDir(), 'inference.db')
    let service = await startService({ database_path: file })
    await service.submit(task({ task_id: 'A', max_infer_time: 600 }))
    let node = await connectNode(service, 'n')
    const a = await nextAssign(node, 'A')
    node.accept(a)
    let read = ''
    let id = ''
    let seq = 0
    const words = Array.from({ length: 40 }, (_, i) => `word${i} `)
    const follow = async (n: number): Promise<void> => {
      const stream = await openEvents(service, path('A'), id === '' ? {} : { 'Last-Event-ID': id })
      while (read.length < n) {
        const event = await stream.next()
        if (event.event !== 'output') continue
        read += (event.data.delta as string).slice(read.length - event.data.offset)
        id = event.id ?? id
      }
      stream.cut()
    }
    for (const [i, word] of words.entries()) {
      says(node, a, seq++, word)
      if (i % 2 === 1 && i < 20) await follow(words.slice(0, i + 1).join('').length)
      if (i !== 20) continue
      await follow(words.slice(0, i + 1).join('').length)
      await service.stop()
      service = await startService({ database_path: file })
      node = await connectNode(service, 'n', { running: [ref(a)] })
    }
    node.complete(a, words.join(''))
    await nextSettled(node, 'A')
    const stream = await openEvents(service, path('A'), { 'Last-Event-ID': id })
    for (;;) {
      const event = await stream.next()
      if (event.event === 'output') read += (event.data.delta as string).slice(read.length - event.data.offset)
      if (event.event === 'result') break
    }
    expect(read).toBe(words.join(''))
  })

  test('of a task that is not there are refused in the envelope', async () => {
    const service = await startService()
    expect(await service.get(path('none'))).toMatchObject({ status: 404, body: { code: 'task_not_found' } })
    expect((await service.send('POST', path('none'))).status).toBe(405)
  })

  test('end when the service stops, and their reader comes again', async () => {
    const service = await startService()
    const { stream } = await begun(service)
    await service.stop()
    await stream.over
  })
})

test('any id of a last event is a place, or the beginning', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      const { attempt, offset } = readLastEvent(text)
      expect(Number.isSafeInteger(attempt) && Number.isSafeInteger(offset)).toBe(true)
    }),
  )
  expect(readLastEvent('3.14')).toEqual({ attempt: 3, offset: 14, ended: false })
  expect(readLastEvent('3.14.end')).toEqual({ attempt: 3, offset: 14, ended: true })
  expect(readLastEvent('3.14.15')).toEqual({ attempt: 0, offset: 0, ended: false })
})

const ref = ({ task_id, attempt }: { task_id: string; attempt: number }) => ({ task_id, attempt })
