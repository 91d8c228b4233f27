import { defineCommand } from 'citty'
import { createLog } from '../lib/log.js'
import { keepFilesPrivate } from '../lib/permissions.js'
import { loadNodeConfig } from '../inference-node/config.js'
import { createBackend } from '../inference-node/create-backend.js'
import { logEvents } from '../inference-node/event-log.js'
import { InferenceNode } from '../inference-node/index.js'

export default defineCommand({
  meta: {
    name: 'run-inference-node',
    description: 'Run an inference node: holds a session with a coordinator and works on its tasks',
  },
  args: {
    config: { type: 'string', description: 'The configuration file (TOML)', valueHint: './config/node.toml' },
    coordinator: { type: 'string', description: "The coordinator's URL", valueHint: 'http://127.0.0.1:8080' },
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
    'max-concurrent-tasks': { type: 'string', description: 'How many tasks it works on at once', valueHint: '1' },
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
        nodeId: args['node-id'],
        keyFile: args['key-file'],
        maxConcurrentTasks: args['max-concurrent-tasks'],
      },
      process.env,
    )
    const log = createLog({ name: 'node', debug: args.debug === true })
    const { backend, shown } = createBackend(config, process.env)
    const {
      coordinator,
      models,
      key_file,
      node_id,
      max_concurrent_tasks,
      performance_score,
      endpoint,
      node_address,
      connect_timeout,
      drain_timeout,
    } = config.node
    const { models: listModels } = backend
    const node = new InferenceNode({
      coordinator,
      models: models.length > 0 || listModels === undefined ? models : listModels,
      keyFile: key_file,
      nodeId: node_id,
      maxConcurrentTasks: max_concurrent_tasks,
      performanceScore: performance_score,
      endpoint,
      nodeAddress: node_address,
      connectTimeout: connect_timeout,
      drainTimeout: drain_timeout,
      unsettledFolder: config.unsettledFolder,
      work: backend.work,
      check: backend.check,
      onEvent: logEvents(log),
    })
    const named = models.length > 0 ? models.join(', ') : 'what the model server lists'
    log.info(
      {
        event: 'node.starting',
        node_id: node.nodeId,
        public_key: node.publicKey,
        models,
        backend: shown,
        coordinator: node.coordinator,
      },
      `node ${node.nodeId} (key ${node.publicKey}) serves ${named} by ${shown}, for ${node.coordinator}`,
    )

    let isStopping = false
    const onSignal = (signal: NodeJS.Signals): void => {
      log.info(
        { event: 'node.signal', signal },
        isStopping ? 'stopping at once' : 'finishing what is there; a second signal stops at once',
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
  },
})
