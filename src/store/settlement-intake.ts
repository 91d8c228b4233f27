import { drizzle } from 'drizzle-orm/better-sqlite3'
import * as v from 'valibot'
import { settlementIntake, type IntakeEntry } from './settlement-schema.js'
import { bound } from './statement.js'
import type { Database } from './sqlite.js'

const groups = v.array(v.tuple([v.nullable(v.string()), v.number(), v.array(v.string())]))
type Group = v.InferOutput<typeof groups>[number]

/** Results whose settlement has no row of its own yet: one row for all of a turn, in its commit. */
export function createSettlementIntake(db: Database) {
  const orm = drizzle(db)
  const all = orm.select().from(settlementIntake).orderBy(settlementIntake.id).prepare()
  const insert = orm
    .insert(settlementIntake)
    .values({ entries: bound('entries') })
    .prepare()
  const clear = orm.delete(settlementIntake).prepare()
  return {
    save(entries: readonly IntakeEntry[]): void {
      const byPayee = new Map<string, Group>()
      for (const { task_id, payee, at } of entries) {
        const key = `${at} ${payee}`
        const group = byPayee.get(key)
        if (group === undefined) byPayee.set(key, [payee, at, [task_id]])
        else group[2].push(task_id)
      }
      insert.run({ entries: JSON.stringify([...byPayee.values()]) })
    },
    all: (): IntakeEntry[] =>
      all
        .all()
        .flatMap(({ entries }) => v.parse(groups, JSON.parse(entries)))
        .flatMap(([payee, at, taskIds]) => taskIds.map((task_id) => ({ task_id, payee, at }))),
    clear: (): void => void clear.run(),
  }
}
