import { readAddresses } from '../../client/address.js'
import { createRest } from '../../client/rest.js'
import { outputWidth } from '../../lib/output-width.js'
import type { RestClient } from '../../lib/rest-client.js'
import { oneLine } from '../../lib/table.js'
import { pause } from '../../lib/timer.js'
import { totalsLine } from '../feed/describe.js'
import { allNodes } from '../nodes/node-call.js'
import { printJson, printLines } from '../print.js'
import { modelsSchema, overviewSchema } from './answers.js'
import { capacity, numbers } from './frame.js'
import { line, paint } from './line.js'
import { begin, withOverview, type Figures } from './state.js'
import { bodyOf } from './views.js'

/** How often there is a line where there is no terminal, ms. */
const LINE_MS = 5000

/** Prints how the service stands, once. @throws RestError */
export async function printOnce(service: RestClient, asJson: boolean): Promise<void> {
  const [overview, models, nodes] = await Promise.all([
    service.get('/api/v1/overview', overviewSchema),
    service.get('/api/v1/models', modelsSchema),
    allNodes(service),
  ])
  if (asJson) return printJson({ overview, models, nodes })
  const now = Date.now()
  const state = { ...withOverview(begin(), overview, now), models, nodes }
  const width = outputWidth()
  const table = (view: 'models' | 'nodes') => {
    const { head, rows } = bodyOf({ ...state, view }, { columns: width, lines: Infinity, scroll: 0 }, now)
    return [line(''), ...head, ...rows]
  }
  const lines = [numbers(state.figures), capacity(state.figures), ...table('models'), ...table('nodes')]
  printLines(lines.map((one) => paint(one, width, false)))
}

/** Prints how the service stands again and again, a line each time, and why where it does not say it. */
export async function printForEver(urls: readonly string[], token: string | null, halted: AbortSignal): Promise<void> {
  const rest = createRest(readAddresses(urls, ''), token ?? undefined)
  while (!halted.aborted) {
    const said = await rest.get('/api/v1/overview', overviewSchema, halted).then(
      (overview) => standing(withOverview(begin(), overview, Date.now()).figures),
      (error: unknown) => `NOT ANSWERED: ${error instanceof Error ? error.message : String(error)}`,
    )
    if (halted.aborted) return
    console.log(`${new Date().toISOString()}  ${oneLine(said)}`)
    await pause(LINE_MS, halted)
  }
}

const standing = (figures: Figures | null): string => {
  if (figures === null) return ''
  const { online_nodes, busy_nodes, offline_nodes, maintenance_nodes, free_slots, slots } = figures
  const all = online_nodes + busy_nodes + offline_nodes + maintenance_nodes
  return `${totalsLine(figures)}; ${online_nodes + busy_nodes} of ${all} nodes, ${free_slots} of ${slots} slots free`
}
