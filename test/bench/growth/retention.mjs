import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { generate } from '../generate.mjs'
import { now } from '../lib/measure.mjs'

const totalOf = (world) => world.withRest(async (rest) => (await rest.get('/api/v1/stats')).total_tasks)

/**
 * Two services on equal databases, one of which deletes what is older than half of the history while both get the same
 * load in turns. The one that waits for its turn goes on deleting.
 * @param open of growth.mjs: a service with nodes on a database
 */
export async function retention({ open, folder, cli, tasks, load, runs }) {
  const file = join(folder, 'kept.db')
  await generate({ file, tasks, cli, days: 60, pending: 0 })
  copyFileSync(file, join(folder, 'cleared.db'))
  const without = await open('without', file)
  const cleared = await open('with', join(folder, 'cleared.db'), { retention_days: 30 })
  const taken = { without: { bulk: [], single: [], answers: [] }, with: { bulk: [], single: [], answers: [] } }
  const before = await totalOf(cleared)
  const began = now()
  let submitted = 0
  for (let run = 0; run < runs; run++) {
    for (const [kind, by] of [
      ['bulk', 100],
      ['single', 1],
    ]) {
      for (const world of run % 2 === 0 ? [without, cleared] : [cleared, without]) {
        const result = await world.load(load, by)
        taken[world.name][kind].push(result.perSecond)
        if (by === 1) for (const ms of result.answers) taken[world.name].answers.push(ms)
        if (world === cleared) submitted += load
      }
    }
  }
  const deleted = before + submitted - (await totalOf(cleared))
  const seconds = (now() - began) / 1000
  await without.close()
  await cleared.close()
  return { ...taken, deleted, deletedPerSecond: deleted / seconds }
}
