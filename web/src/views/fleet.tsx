import type { NodeListEntry } from '../../../src/wire/service-answers.js'
import type { ModelView } from '../../../src/wire/watch-answers.js'
import { useAnswer } from '../state/answer.js'
import { tick } from '../state/feed.js'
import { modelName, number } from '../parts/format.js'
import { Icon } from '../parts/icons.js'
import { Empty, Trouble } from '../parts/notes.js'
import { paths, withQuery } from '../parts/paths.js'
import { words } from '../words/index.js'
import { isResting } from './nodes.js'

/** From so many nodes on each model is one bar, not a square for each slot. */
const MOST_NODES = 500
/** So many squares of one node are drawn; the rest is a number. */
const MOST_SLOTS = 32
const FLEET_MS = 3000

type SlotState = 'free' | 'busy' | 'resting' | 'offline'
const slotStates = ['busy', 'free', 'resting', 'offline'] as const

/** The slots of a node by what they are; busy ones of a drained node are busy still. */
function slotsOf(node: NodeListEntry): Record<SlotState, number> {
  const all = node.max_concurrent_tasks
  const busy = node.status === 'offline' ? 0 : Math.min(all, node.in_progress_tasks)
  const rest = all - busy
  const state: SlotState =
    node.status === 'offline'
      ? 'offline'
      : node.drained || node.status === 'maintenance' || isResting(node)
        ? 'resting'
        : 'free'
  return { free: 0, resting: 0, offline: 0, busy, [state]: rest }
}

function NodeSquares({ node }: { node: NodeListEntry }) {
  const t = words.value
  const slots = slotsOf(node)
  const squares = slotStates.flatMap((state) => Array.from({ length: slots[state] }, () => state))
  const said = slotStates.filter((s) => slots[s] > 0).map((s) => `${number(slots[s])} ${t.fleet.states[s]}`)
  const label = `${node.node_id}: ${said.join(', ')}`
  return (
    <a class="squares" href={paths.node(node.node_id)} title={label} aria-label={label}>
      {squares.slice(0, MOST_SLOTS).map((state, i) => (
        <i class={`slot-${state}`} key={i} />
      ))}
      {squares.length > MOST_SLOTS && <span>+{number(squares.length - MOST_SLOTS)}</span>}
    </a>
  )
}

/** A model of so many nodes that their slots are one bar. */
function Sum({ m }: { m: ModelView }) {
  const t = words.value
  const busy = m.slots - m.free_slots
  return (
    <>
      <meter min={0} max={Math.max(1, m.slots)} value={busy} aria-label={t.fleet.busySlots(m.model)} />
      <span class="quiet">{t.nodes.busyOf(number(busy), number(m.slots))}</span>
    </>
  )
}

export function FleetView() {
  const t = words.value
  const models = useAnswer<ModelView[]>('/api/v1/models', FLEET_MS)
  const nodes = useAnswer<{ nodes: NodeListEntry[]; next_cursor: string | null }>(
    withQuery('/api/v1/nodes', { limit: String(MOST_NODES) }),
    FLEET_MS,
  )
  const ticks = new Map(tick.value?.models.map((m) => [m.model, m]))
  const isLarge = nodes.data?.next_cursor != null
  const shown = (models.data ?? [])
    .map((m) => ({ ...m, ...ticks.get(m.model) }))
    .filter(
      (m) =>
        m.slots > 0 ||
        m.nodes > 0 ||
        m.waiting > 0 ||
        nodes.data?.nodes.some((n) => n.supported_models.includes(m.model)),
    )
    .sort((a, b) => a.model.localeCompare(b.model))
  return (
    <main id="main">
      <h1>{t.nav.fleet}</h1>
      <ul class="legend">
        {slotStates.map((state) => (
          <li key={state}>
            <i class={`slot-${state}`} aria-hidden="true" /> {t.fleet.states[state]}
          </li>
        ))}
      </ul>
      {models.data === null || nodes.data === null ? (
        <Trouble failure={models.failure ?? nodes.failure} />
      ) : shown.length === 0 ? (
        <Empty
          title={t.nodes.none}
          command={`npx stacks-signer run-inference-node --coordinator ${location.origin} --model llama-3-8b=llama3:8b --base-url http://127.0.0.1:11434/v1`}
        >
          {t.nodes.noneWhy}
        </Empty>
      ) : (
        shown.map((m) => (
          <section class="fleet" key={m.model} aria-label={m.model}>
            <h2>
              {m.model === 'other' ? (
                modelName(m.model)
              ) : (
                <a href={withQuery(paths.nodes, { model: m.model })}>{m.model}</a>
              )}
            </h2>
            <p class="quiet">
              {t.fleet.counts(number(m.nodes), number(m.waiting))}
              {m.waiting > 0 && m.nodes === 0 && (
                <span class="mark">
                  <Icon name="warn" tone="failed" />
                  {t.models.noNode}
                </span>
              )}
            </p>
            <div class="nodes">
              {isLarge ? (
                <Sum m={m} />
              ) : (
                nodes.data?.nodes
                  .filter((node) => node.supported_models.includes(m.model))
                  .map((node) => <NodeSquares node={node} key={node.node_id} />)
              )}
            </div>
          </section>
        ))
      )}
    </main>
  )
}
