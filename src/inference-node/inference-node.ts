import { ConfigError } from '../lib/config-error.js'
import { createAttempts, type Attempts } from './attempts.js'
import { createAvailability, sameNames, type Availability, type NodeState } from './availability.js'
import { createConnection, type Connection } from './connection.js'
import { takeMessage } from './coordinator-messages.js'
import { heartbeatOf, helloOf } from './declarations.js'
import type { DeclaredStatus, NodeEnd, NodeEvent } from './events.js'
import { resolveOptions, type InferenceNodeOptions, type Resolved } from './options.js'
import { createPrefetch, type Prefetch } from './prefetch.js'
import { createResults, type Results } from './results.js'
import { signResult } from './identity.js'
import type { Welcome } from './session.js'
import { after, pause } from '../lib/timer.js'
import { openUnsettledFolder, type UnsettledFolder } from './unsettled.js'
import { tellError } from './work-error.js'

/** How long a coordinator may take to close after the last result of a drain, ms. */
const CLOSE_AFTER_DRAIN_MS = 5000
/** How long a stop waits for work functions to return, ms: a program is killed after 2 s. */
const STOP_GRACE_MS = 4000

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
  readonly #prefetch: Prefetch
  readonly #halt = new AbortController()
  readonly #closed: Promise<NodeEnd>
  #resolveClosed = (_end: NodeEnd): void => undefined
  #state: 'new' | 'running' | 'draining' | 'ended' = 'new'
  #wasWelcomed = false
  /** What the last hello has named: models, and features. */
  #named: readonly [models: readonly string[], features: readonly string[]] = [[], []]
  #loop: Promise<void> = Promise.resolve()
  #cancelDrain = (): void => undefined
  #cancelClose = (): void => undefined

  /** @throws ConfigError one line: what is wrong with which option, or with the key file */
  constructor(options: InferenceNodeOptions) {
    const resolved = resolveOptions(options)
    this.#options = resolved
    this.#closed = new Promise((resolve) => {
      this.#resolveClosed = resolve
    })
    const { nodeId, addresses, identity, connectTimeout, random, unsettledFolder } = resolved
    const emit = (event: NodeEvent): void => this.#emit(event)
    this.#connection = createConnection({
      addresses,
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
      onDisconnected: ({ code, reason, welcomed }, wait, renewal) =>
        emit({ type: 'disconnected', code, reason, welcomed, renewal, retry_in: wait === null ? null : wait / 1000 }),
    })
    const { channel } = this.#connection
    const owner = { nodeId, hosts: addresses.map(({ host }) => host) }
    this.#folder = unsettledFolder === undefined ? null : openUnsettledFolder(unsettledFolder, owner)
    this.#availability = createAvailability({
      look: resolved.look,
      models: resolved.models,
      features: resolved.features,
      onChange: (now, before) => this.#onState(now, before),
    })
    this.#results = createResults({
      channel,
      folder: this.#folder,
      resendAfter: resolved.resendAfter,
      random,
      sign: resolved.signResults ? (result) => signResult(identity, result) : null,
      emit,
      onGone: () => this.#drainStep(),
    })
    this.#prefetch = createPrefetch(resolved.prefetch, resolved.slots)
    this.#attempts = createAttempts({
      work: resolved.work,
      slots: resolved.slots,
      prefetch: this.#prefetch.highest,
      outputInterval: resolved.outputInterval,
      channel,
      results: this.#results,
      availability: this.#availability,
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
  /** The URL that is dialled, for logs; of several with commas between. */
  get coordinator(): string {
    return this.#options.addresses.map(({ shown }) => shown).join(', ')
  }
  /** What it offers, or has offered before it was in maintenance. */
  get models(): readonly string[] {
    return this.#availability.state.models
  }
  /** Whether a session is open now. */
  get connected(): boolean {
    return this.#connection.channel.isOpen()
  }
  /** How many results the coordinator has not settled yet. */
  get unsettled(): number {
    return this.#results.size
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
      this.#attempts.giveBack('the node is draining')
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
    if (event.type === 'completed' && this.#prefetch.took(event.seconds) && this.connected)
      this.#connection.say(this.#heartbeat())
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
    this.#attempts.forget()
    return !this.#isDone()
  }

  #hello() {
    const { models, features } = this.#availability.state
    this.#named = [models, features]
    const running = [...this.#attempts.list(), ...this.#results.list()]
    const takeOver = this.#options.takeOver && !this.#wasWelcomed
    return helloOf(this.#options, { models, features, ...this.#standing(), running, takeOver })
  }

  #heartbeat() {
    const reason = this.#state === 'draining' ? 'draining' : this.#availability.state.reason
    return heartbeatOf({ ...this.#standing(), reason, running: this.#attempts.list() })
  }

  /** A new hello is not draining, so a draining node says maintenance from the start. */
  #standing(): { status: DeclaredStatus; prefetch: number } {
    const status = this.#state === 'draining' ? 'maintenance' : this.#availability.state.status
    return { status, prefetch: this.#prefetch.ask() }
  }

  #onWelcome(welcome: Welcome): void {
    const { session_id, heartbeat_interval, resumed, dropped } = welcome
    this.#wasWelcomed = true
    this.#attempts.acceptWithin(welcome.accept_timeout * 1000)
    this.#emit({ type: 'connected', session_id, heartbeat_interval, resumed: resumed.length, dropped: dropped.length })
    for (const ref of resumed) this.#attempts.resumed(ref)
    for (const ref of dropped) this.#attempts.stop(ref, 'dropped')
    this.#results.opened()
    if (this.#state === 'draining') this.#connection.say({ type: 'session.drain' })
    // A hello has no reason, and what it has named may have changed since.
    if (!this.#renewed() && this.#availability.state.reason !== '') this.#connection.say(this.#heartbeat())
    this.#drainStep()
  }

  #onState(now: NodeState, before: NodeState): void {
    const { status, reason, models } = now
    if (status === 'maintenance') {
      this.#emit({ type: 'status', status, reason })
      this.#attempts.giveBack(`the node's backend is down: ${reason}`)
    } else if (before.status === 'maintenance') this.#emit({ type: 'status', status, reason: 'the backend is back' })
    if (status === 'online' && reason !== '' && reason !== before.reason)
      this.#emit({ type: 'warning', message: reason })
    if (!sameNames(models, before.models)) this.#emit({ type: 'models', models })
    if (this.connected && !this.#renewed()) this.#connection.say(this.#heartbeat())
  }

  /** Models and features are named in a hello, so other ones take a new session. */
  #renewed(): boolean {
    if (this.#state !== 'running') return false
    const { models, features } = this.#availability.state
    const [namedModels, namedFeatures] = this.#named
    const what = !sameNames(models, namedModels) ? 'models' : !sameNames(features, namedFeatures) ? 'features' : null
    if (what !== null) this.#connection.renew(`the ${what} have changed`)
    return what !== null
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
