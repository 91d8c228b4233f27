import { defineCommand } from 'citty'
import { createLog, type Logger } from '../lib/log.js'
import { keepFilesPrivate } from '../lib/permissions.js'
import { loadNodeConfig, type NodeConfig } from '../inference-node/config.js'
import { createBackend } from '../inference-node/create-backend.js'
import { logEvents } from '../inference-node/event-log.js'
import { InferenceNode } from '../inference-node/index.js'
import type { NodeMetrics } from '../metrics/node-metrics.js'
import { lockStateDir } from '../inference-node/state-lock.js'

export default defineCommand({
  meta: {
    name: 'run-inference-node',
    description: 'Run an inference node: holds a session with a coordinator and works on its tasks',
  },
  args: {
    config: { type: 'string', description: 'The configuration file (TOML)', valueHint: './config/node.toml' },
    coordinator: {
      type: 'string',
      description: "The coordinator's URL; of several that stand for each other, with commas between",
      valueHint: 'http://127.0.0.1:8080',
    },
    model: {
      type: 'string',
      description:
        "The models it serves, with commas between; served=server-name where the model server's name differs",
      valueHint: 'llama-3-8b',
    },
    backend: {
      type: 'string',
      description: 'What does the inference: openai (default), generate, command or echo',
      valueHint: 'openai',
    },
    'base-url': { type: 'string', description: 'openai: the URL of the API', valueHint: 'http://127.0.0.1:11434/v1' },
    url: {
      type: 'string',
      description: 'generate: the URL that prompts are posted to',
      valueHint: 'http://127.0.0.1:5000/generate',
    },
    command: {
      type: 'string',
      description: 'command: the program and its arguments, with spaces between',
      valueHint: './answer.sh',
    },
    embeddings: {
      type: 'boolean',
      description: 'openai: offer embeddings too, where the model server makes them',
    },
    'node-id': {
      type: 'string',
      description: 'The name of the node; default: it follows from its key',
      valueHint: 'node-001',
    },
    'key-file': {
      type: 'string',
      description: 'The private key of the node; made on first use',
      valueHint: './data/node.key',
    },
    'state-dir': {
      type: 'string',
      description: 'Where results are kept until they are settled; one for each node',
      valueHint: './data/node',
    },
    'take-over': {
      type: 'boolean',
      description: 'End the session that another process holds with the same key',
    },
    invite: {
      type: 'string',
      description: 'What lets the node in at a coordinator that takes invited nodes; once is enough',
      valueHint: 'sis_inv_...',
    },
    'invite-file': {
      type: 'string',
      description: 'A file with the invite, which other users of the machine do not see',
      valueHint: '/run/secrets/invite',
    },
    'max-concurrent-tasks': { type: 'string', description: 'How many tasks it works on at once', valueHint: '1' },
    prefetch: { type: 'string', description: 'How many it holds beyond those', valueHint: 'auto' },
    'metrics-port': {
      type: 'string',
      description: 'Where GET /metrics tells what Prometheus reads',
      valueHint: '9465',
    },
    debug: { type: 'boolean', description: 'Log what happens to every single task' },
  },
  async run({ args }) {
    keepFilesPrivate()
    const config = loadNodeConfig(
      args.config,
      {
        coordinator: args.coordinator,
        model: args.model,
        backend: args.backend,
        baseUrl: args['base-url'],
        url: args.url,
        command: args.command,
        embeddings: args.embeddings,
        nodeId: args['node-id'],
        keyFile: args['key-file'],
        stateDir: args['state-dir'],
        takeOver: args['take-over'],
        invite: args.invite,
        inviteFile: args['invite-file'],
        maxConcurrentTasks: args['max-concurrent-tasks'],
        prefetch: args.prefetch,
        metricsPort: args['metrics-port'],
      },
      process.env,
    )
    const log = createLog({ name: 'node', debug: args.debug === true, fields: false })
    const unlock = lockStateDir(config.node.state_dir)
    try {
      const metrics = config.node.metrics_port === undefined ? null : await createMetrics()
      const node = createNode(config, log, metrics)
      const told = metrics === null ? null : await metrics.serve(node, config.node, log)
      try {
        await runUntilEnd(node, log)
      } finally {
        await told?.stop()
      }
    } finally {
      unlock()
    }
  },
})

/** Loaded only where it is wanted: a node needs no more than it uses. */
const createMetrics = async (): Promise<NodeMetrics> => (await import('../metrics/node-metrics.js')).createNodeMetrics()

function createNode(config: NodeConfig, log: Logger, metrics: NodeMetrics | null): InferenceNode {
  const tell = logEvents(log)
  const { backend, shown } = createBackend(config, process.env, (text) => log.warn({ event: 'node.notice' }, text))
  const { node: settings, unsettledFolder } = config
  const { models } = settings
  const node = new InferenceNode({
    coordinator: settings.coordinator,
    models: models.length > 0 || backend.models === undefined ? models : backend.models,
    keyFile: settings.key_file,
    nodeId: settings.node_id,
    takeOver: settings.take_over,
    invite: settings.invite,
    maxConcurrentTasks: settings.max_concurrent_tasks,
    prefetch: settings.prefetch,
    performanceScore: settings.performance_score,
    endpoint: settings.endpoint,
    nodeAddress: settings.node_address,
    signResults: settings.sign_results,
    connectTimeout: settings.connect_timeout,
    drainTimeout: settings.drain_timeout,
    unsettledFolder,
    work: backend.work,
    features: backend.features,
    check: backend.check,
    onEvent(event) {
      metrics?.onEvent(event)
      tell(event)
    },
  })
  const { nodeId: node_id, publicKey: public_key, coordinator } = node
  const named = models.length > 0 ? models.join(', ') : 'what the model server lists'
  log.info(
    { event: 'node.starting', node_id, public_key, models, backend: shown, coordinator },
    `node ${node_id} is to serve ${named}, by ${shown}, for ${coordinator}; its public key is ${public_key}`,
  )
  return node
}

/** Ends with the node: after a drain at the first signal, at once at the second, with an error when there can be no session. */
async function runUntilEnd(node: InferenceNode, log: Logger): Promise<void> {
  let isStopping = false
  const onSignal = (signal: NodeJS.Signals): void => {
    // What the first one does the node says itself.
    log[isStopping ? 'info' : 'debug'](
      { event: 'node.signal', signal },
      `${signal}${isStopping ? ' again: stopping at once' : ''}`,
    )
    void (isStopping ? node.stop() : node.drain())
    isStopping = true
  }
  // SIGHUP too: the terminal it was started in has gone, and paid work with it if nobody finishes it.
  process.on('SIGTERM', onSignal).on('SIGINT', onSignal).on('SIGHUP', onSignal)
  try {
    await node.start()
    const end = await node.closed
    if (end.reason === 'fatal') throw end.error
  } finally {
    process.off('SIGTERM', onSignal).off('SIGINT', onSignal).off('SIGHUP', onSignal)
  }
}
