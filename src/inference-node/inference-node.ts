import { ConfigError } from '../lib/config-error.js'
import type { NodeMessage } from '../wire/node.js'
import { AGENT } from './agent.js'
import { createAttempts, type Attempts } from './attempts.js'
import { createAvailability, type Availability } from './availability.js'
import { createConnection, type Connection } from './connection.js'
import { takeMessage } from './coordinator-messages.js'
import type { DeclaredStatus, NodeEnd, NodeEvent } from './events.js'
import { resolveOptions, usableModels, type InferenceNodeOptions, type Resolved } from './options.js'
import { createResults, type Results } from './results.js'
import type { Welcome } from './session.js'
import { after, pause, within } from './timer.js'
import { openUnsettledFolder, type UnsettledFolder } from './unsettled.js'
import { tellError } from './work-error.js'

/** How long a coordinator may take to close after the last result of a drain, ms. */
const CLOSE_AFTER_DRAIN_MS = 5000
/** How long a stop waits for work functions to return, ms: a program is killed after 2 s. */
const STOP_GRACE_MS = 4000
const MODELS_TIMEOUT_MS = 15_000

/**
 * An inference node: holds a session with a coordinator, works on the tasks it is given, and keeps every result until the
 * coordinator has settled it.
 */
export class InferenceNode {
  readonly #options: Resolved
  readonly #connection: Connection
  readonly #folder: UnsettledFolder | null
  readonly #results: Results
  readonly #attempts: Attempts
  readonly #availability: Availability
  readonly #halt = new AbortController()
  readonly #closed: Promise<NodeEnd>
  #resolveClosed = (_end: NodeEnd): void => undefined
  #state: 'new' | 'running' | 'draining' | 'ended' = 'new'
  #models: readonly string[] = []
  #wasWelcomed = false
  #loop: Promise<void> = Promise.resolve()
  #cancelDrain = (): void => undefined
  #cancelClose = (): void => undefined

  /** @throws ConfigError one line: what is wrong with which option, or with the key file */
  constructor(options: InferenceNodeOptions) {
    const resolved = resolveOptions(options)
    this.#options = resolved
    if (typeof resolved.models !== 'function') this.#models = resolved.models
    this.#closed = new Promise((resolve) => {
      this.#resolveClosed = resolve
    })
    const { nodeId, address, identity, connectTimeout, random, unsettledFolder } = resolved
    const emit = (event: NodeEvent): void => this.#emit(event)
    this.#connection = createConnection({
      address,
      identity,
      connectTimeout,
      random,
      halted: this.#halt.signal,
      hello: () => this.#hello(),
      heartbeat: () => this.#heartbeat(),
      onWelcome: (welcome) => this.#onWelcome(welcome),
      onMessage: (message) => takeMessage(message, { attempts: this.#attempts, results: this.#results, emit }),
      onWritten: () => this.#results.pump(),
      onWarning: (message) => emit({ type: 'warning', message }),
      onEnd: () => this.#onSessionEnd(),
      onDisconnected: ({ code, reason, welcomed }, wait) =>
        emit({ type: 'disconnected', code, reason, welcomed, retry_in: wait === null ? null : wait / 1000 }),
    })
    const { channel } = this.#connection
    this.#folder =
      unsettledFolder === undefined ? null : openUnsettledFolder(unsettledFolder, { nodeId, host: address.host })
    this.#availability = createAvailability({
      check: resolved.check,
      onChange: (status, reason) => this.#onStatus(status, reason),
    })
    this.#results = createResults({
      channel,
      folder: this.#folder,
      resendAfter: resolved.resendAfter,
      random,
      emit,
      onGone: () => this.#drainStep(),
    })
    this.#attempts = createAttempts({
      work: resolved.work,
      slots: resolved.slots,
      outputInterval: resolved.outputInterval,
      channel,
      results: this.#results,
      availability: this.#availability,
      models: () => this.#models,
      isDraining: () => this.#state !== 'running',
      onStopped: () => this.#drainStep(),
      emit,
    })
  }

  get nodeId(): string {
    return this.#options.nodeId
  }
  /** 33 bytes compressed, hex. */
  get publicKey(): string {
    return this.#options.identity.publicKey
  }
  /** The URL that is dialled, for logs. */
  get coordinator(): string {
    return this.#options.address.shown
  }
  get models(): readonly string[] {
    return this.#models
  }
  /** Whether a session is open now. */
  get connected(): boolean {
    return this.#connection.channel.isOpen()
  }
  /** Resolves when the node has ended, however it did. Never rejects. */
  get closed(): Promise<NodeEnd> {
    return this.#closed
  }

  /**
   * Loads unsettled results, looks whether the backend is there, and begins to hold a session: resolves then, also while the
   * coordinator cannot be reached yet (event `connected`).
   * @throws ConfigError when the folder for unsettled results cannot be used
   */
  async start(): Promise<void> {
    if (this.#state !== 'new') throw new Error('an InferenceNode starts once')
    this.#state = 'running'
    try {
      this.#results.restore((await this.#folder?.load((message) => this.#emit({ type: 'warning', message }))) ?? [])
    } catch (error) {
      const problem = new ConfigError(
        `${this.#options.unsettledFolder}: unsettled results cannot be kept there (${tellError(error).message}); name another state_dir`,
      )
      await this.#shut({ reason: 'fatal', error: problem })
      throw problem
    }
    await this.#availability.start()
    if (this.#availability.status === 'online') await this.#refreshModels()
    if (this.#halt.signal.aborted) return
    this.#loop = this.#run()
  }

  /**
   * Takes nothing new, finishes its tasks, waits until every result is settled, and ends. While the coordinator is away it
   * goes on trying.
   * @param timeout seconds; when they are over the node stops, and what is not settled stays in the folder
   */
  drain(timeout?: number): Promise<NodeEnd> {
    if (this.#state === 'new') return this.stop()
    if (this.#state === 'running') {
      this.#state = 'draining'
      this.#emit({ type: 'draining', by: 'node', holds: this.#attempts.size + this.#results.size })
      this.#cancelDrain = after(
        timeout === undefined ? this.#options.drainTimeout : timeout * 1000,
        () => void this.stop(),
      )
      this.#connection.say({ type: 'session.drain' })
      this.#drainStep()
    }
    return this.closed
  }

  /** Stops at once: aborts the work; what is not settled stays in the folder. */
  stop(): Promise<NodeEnd> {
    void this.#shut({ reason: 'stopped' })
    return this.closed
  }

  #emit(event: NodeEvent): void {
    try {
      this.#options.onEvent(event)
    } catch (error) {
      // The listener's fault must be seen, but not change what the node does for it.
      queueMicrotask(() => {
        throw error
      })
    }
  }

  /** Holds sessions until there is a reason for no other. */
  async #run(): Promise<void> {
    try {
      const refusal = await this.#connection.run()
      void this.#shut(refusal === null ? { reason: 'drained' } : { reason: 'fatal', error: new Error(refusal) })
    } catch (error) {
      void this.#shut({ reason: 'fatal', error: error instanceof Error ? error : new Error(String(error)) })
    }
  }

  #onSessionEnd(): boolean {
    this.#cancelClose()
    this.#results.closed()
    return !this.#isDone()
  }

  #hello() {
    const { nodeId, slots, performanceScore, endpoint, nodeAddress } = this.#options
    return {
      node_id: nodeId,
      supported_models: [...this.#models],
      max_concurrent_tasks: slots,
      performance_score: performanceScore,
      endpoint,
      ...(nodeAddress === undefined ? {} : { node_address: nodeAddress }),
      status: this.#status(),
      running: [...this.#attempts.list(), ...this.#results.list()],
      take_over: this.#options.takeOver && !this.#wasWelcomed,
      agent: AGENT,
    }
  }

  #heartbeat(): Extract<NodeMessage, { type: 'node.heartbeat' }> {
    return { type: 'node.heartbeat', status: this.#status(), running: this.#attempts.list().map((ref) => ref.task_id) }
  }

  /** A new hello is not draining, so a draining node says maintenance from the start. */
  #status(): DeclaredStatus {
    return this.#state === 'draining' ? 'maintenance' : this.#availability.status
  }

  #onWelcome(welcome: Welcome): void {
    const { session_id, heartbeat_interval, resumed, dropped } = welcome
    this.#wasWelcomed = true
    this.#emit({ type: 'connected', session_id, heartbeat_interval, resumed: resumed.length, dropped: dropped.length })
    for (const ref of dropped) this.#attempts.stop(ref, 'dropped')
    this.#results.opened()
    if (this.#state === 'draining') this.#connection.say({ type: 'session.drain' })
    this.#drainStep()
  }

  async #onStatus(status: DeclaredStatus, reason: string): Promise<void> {
    this.#emit({ type: 'status', status, reason })
    this.#connection.say(this.#heartbeat())
    if (status === 'online') await this.#refreshModels()
  }

  /** Asks for the models where the options say so; a hello names them, so other ones need another session. Never rejects. */
  async #refreshModels(): Promise<void> {
    const { models } = this.#options
    if (typeof models !== 'function') return
    try {
      const list = usableModels(await within(MODELS_TIMEOUT_MS, this.#halt.signal, models))
      if (list.length === 0) return this.#availability.down('the model server has no models')
      if (list.join('\n') === this.#models.join('\n')) return
      this.#models = list
      this.#emit({ type: 'models', models: list })
      this.#connection.close(1001, 'the models have changed')
    } catch (error) {
      this.#availability.down(tellError(error).message)
    }
  }

  #isDone(): boolean {
    return this.#state === 'draining' && this.#attempts.size + this.#results.size === 0
  }

  /** Ends a drain that holds nothing more. */
  #drainStep(): void {
    if (!this.#isDone()) return
    if (!this.connected) return void this.#shut({ reason: 'drained' })
    this.#cancelClose()
    this.#cancelClose = after(CLOSE_AFTER_DRAIN_MS, () => this.#connection.close(1000, 'drained'))
  }

  async #shut(why: { reason: 'drained' | 'stopped' } | { reason: 'fatal'; error: Error }): Promise<void> {
    if (this.#state === 'ended') return
    this.#state = 'ended'
    this.#cancelDrain()
    this.#cancelClose()
    this.#attempts.stopAll()
    this.#availability.stop()
    const unsettled = this.#results.size
    // 1000 gives everything back at once; after another code what is finished stays this node's for the grace time.
    this.#connection.close(unsettled === 0 ? 1000 : 1001, why.reason)
    this.#results.closed()
    this.#halt.abort()
    const patience = new AbortController()
    await Promise.race([Promise.all([this.#loop, this.#attempts.idle()]), pause(STOP_GRACE_MS, patience.signal)])
    patience.abort()
    // A disk that hangs must not keep the node from ending.
    const disk = new AbortController()
    await Promise.race([this.#folder?.idle(), pause(STOP_GRACE_MS, disk.signal)])
    disk.abort()
    const end: NodeEnd = { ...why, unsettled }
    this.#emit({ type: 'stopped', end })
    this.#resolveClosed(end)
  }
}
