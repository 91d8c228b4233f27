import { startServer } from './servers.mjs'
import { bodyOf, OUTPUT } from '../lib/tasks.mjs'

export const title = 'BullMQ'
export const durability = 'Redis, append-only file, appendfsync always: fsync before every answer'
export const ways = {
  single: { title: 'single', bulk: 1, inFlight: 100 },
  bulk: { title: 'bulk x100, addBulk', bulk: 100, inFlight: 4 },
}
export const idleWays = ['single']

export async function start({ slowDisk }) {
  const server = await startServer({
    name: 'redis-server',
    install: 'apt-get install redis-server',
    slowDisk,
    args: (port, folder) => [
      '--port',
      String(port),
      '--bind',
      '127.0.0.1',
      '--dir',
      folder,
      '--save',
      '',
      '--appendonly',
      'yes',
      '--appendfsync',
      'always',
      '--maxmemory-policy',
      'noeviction',
    ],
  })
  return { address: server.port, cpu: server.cpu, stop: server.stop }
}

const connection = (port) => ({ host: '127.0.0.1', port, maxRetriesPerRequest: null })

export async function connectSubmitter(port, { run }) {
  const { Queue } = await import('bullmq')
  const queue = new Queue(run, { connection: connection(port), defaultJobOptions: { removeOnComplete: true } })
  await queue.waitUntilReady()
  const dataOf = (number) => ({ number, body: bodyOf(number) })
  return {
    submit: (number) => queue.add('task', dataOf(number)),
    submitMany: (numbers) => queue.addBulk(numbers.map((number) => ({ name: 'task', data: dataOf(number) }))),
    close: () => queue.close(),
  }
}

export async function connectNodes(port, { run, count, slots, onTask, onSettled }) {
  const { Worker } = await import('bullmq')
  const take = async ({ data }) => {
    if (data.body !== bodyOf(data.number)) throw new Error('another body')
    onTask(data.number)
    return OUTPUT
  }
  const nodes = Array.from(
    { length: count },
    () => new Worker(run, take, { connection: connection(port), concurrency: slots }),
  )
  for (const node of nodes) {
    node.on('completed', (task) => onSettled(task.data.number)) // Redis has answered by then
    node.on('failed', (_, error) => console.error(error))
    node.on('error', (error) => console.error(error))
  }
  await Promise.all(nodes.map((node) => node.waitUntilReady()))
  return { close: () => Promise.all(nodes.map((node) => node.close(true))) }
}
