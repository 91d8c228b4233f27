import { useEffect, useState } from 'preact/hooks'
import type { NodeListEntry } from '../../../src/wire/service-answers.js'
import type { ModelView } from '../../../src/wire/watch-answers.js'
import { useAnswer } from '../state/answer.js'
import { tick } from '../state/feed.js'
import { counted, modelName, number } from '../parts/format.js'
import { Icon } from '../parts/icons.js'
import { Empty, Trouble } from '../parts/notes.js'
import { paths, withQuery } from '../parts/paths.js'
import { words } from '../words/index.js'
import { isStranded } from './model-table.js'
import { isResting } from './nodes.js'

/** From so many nodes on each model is one bar, not a square for each slot. A page of the service has as many at most. */
const MOST_NODES = 500
/** So many squares of one node are drawn; the rest is a number. */
const MOST_SLOTS = 32
const FLEET_MS = 3000
/** What has no row of its own. */
const OTHER = 'other'

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
function Bar({ m }: { m: ModelView }) {
  const t = words.value
  const parts = { busy: m.slots - m.free_slots, free: m.free_slots }
  return (
    <>
      <div class="bar-of-slots" aria-hidden="true">
        {(['busy', 'free'] as const).map(
          (state) => parts[state] > 0 && <i class={`slot-${state}`} style={{ flexGrow: parts[state] }} key={state} />,
        )}
      </div>
      <span class="quiet">{t.nodes.busyOf(number(parts.busy), number(m.slots))}</span>
    </>
  )
}

/** By family, those of none last. */
function families(models: readonly ModelView[]): [string | null, ModelView[]][] {
  const found = new Map<string | null, ModelView[]>()
  for (const m of [...models].sort((a, b) => a.model.localeCompare(b.model, undefined, { numeric: true })))
    found.set(m.family, [...(found.get(m.family) ?? []), m])
  return [...found].sort(([a], [b]) => Number(a === null) - Number(b === null) || (a ?? '').localeCompare(b ?? ''))
}

/** How many nodes there are, as far as the page is told; null where it is not. */
function nodesThere(): number | null {
  const totals = tick.value?.totals
  return totals === undefined
    ? null
    : totals.online_nodes + totals.busy_nodes + totals.offline_nodes + totals.maintenance_nodes
}

/** The nodes of the fleet; `isLarge` where there are too many of them to draw each. */
function useFleet() {
  const [wasLarge, setLarge] = useState(false)
  const isLarge = (nodesThere() ?? 0) >= MOST_NODES || wasLarge
  const shown = useAnswer<{ nodes: NodeListEntry[]; next_cursor: string | null }>(
    isLarge ? null : withQuery('/api/v1/nodes', { limit: String(MOST_NODES) }),
    FLEET_MS,
  )
  const count = shown.data?.nodes.length ?? 0
  useEffect(() => {
    const known = nodesThere()
    setLarge(known === null ? count >= MOST_NODES : known >= MOST_NODES)
  }, [count, nodesThere()])
  return { isLarge, nodes: shown.data?.nodes ?? [], isThere: isLarge || shown.data !== null, failure: shown.failure }
}

function Model({
  m,
  stranded,
  nodes,
  isLarge,
}: {
  m: ModelView
  stranded: boolean
  nodes: readonly NodeListEntry[]
  isLarge: boolean
}) {
  const t = words.value
  return (
    <section class="fleet" aria-label={modelName(m.model)}>
      <h3>
        {m.model === OTHER ? modelName(m.model) : <a href={withQuery(paths.nodes, { model: m.model })}>{m.model}</a>}
      </h3>
      <p class="quiet">
        {t.fleet.counts(counted(m.nodes), number(m.waiting))}
        {stranded && (
          <span class="mark">
            <Icon name="warn" tone="failed" />
            {t.models.noNode}
          </span>
        )}
      </p>
      {isLarge ? (
        m.slots > 0 && <Bar m={m} />
      ) : (
        <div class="nodes">
          {nodes
            .filter((node) => node.supported_models.includes(m.model))
            .map((node) => (
              <NodeSquares node={node} key={node.node_id} />
            ))}
        </div>
      )}
    </section>
  )
}

export function FleetView() {
  const t = words.value
  const models = useAnswer<ModelView[]>('/api/v1/models', FLEET_MS)
  const { isLarge, nodes, isThere, failure } = useFleet()
  const ticks = new Map(tick.value?.models.map((m) => [m.model, m]))
  const shown = (models.data ?? [])
    .map((m) => ({ ...m, ...ticks.get(m.model) }))
    .filter((m) => m.nodes > 0 || m.waiting > 0 || nodes.some((n) => n.supported_models.includes(m.model)))
  const states = isLarge ? (['busy', 'free'] as const) : slotStates
  return (
    <main id="main">
      <h1>{t.nav.fleet}</h1>
      <ul class="legend">
        {states.map((state) => (
          <li key={state}>
            <i class={`slot-${state}`} aria-hidden="true" /> {t.fleet.states[state]}
          </li>
        ))}
        {isLarge && <li class="quiet">{t.fleet.large(number(MOST_NODES))}</li>}
      </ul>
      {models.data === null || !isThere ? (
        <Trouble failure={models.failure ?? failure} />
      ) : shown.length === 0 ? (
        <Empty
          title={t.nodes.none}
          command={`npx stacks-signer run-inference-node --coordinator ${location.origin} --model llama-3-8b=llama3:8b --base-url http://127.0.0.1:11434/v1`}
        >
          {t.nodes.noneWhy}
        </Empty>
      ) : (
        families(shown).map(([family, ofFamily]) => (
          <section key={family ?? ''} aria-label={family ?? t.fleet.noFamily}>
            <h2 class="family">{family ?? t.fleet.noFamily}</h2>
            <div class="models">
              {ofFamily.map((m) => (
                <Model m={m} stranded={isStranded(m, shown)} nodes={nodes} isLarge={isLarge} key={m.model} />
              ))}
            </div>
          </section>
        ))
      )}
    </main>
  )
}
