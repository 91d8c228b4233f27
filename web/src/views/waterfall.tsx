import type { TaskDetailView } from '../../../src/wire/task-answers.js'
import { duration, NONE, number, time } from '../parts/format.js'
import { Scroll } from '../parts/notes.js'
import { paths } from '../parts/paths.js'
import { EndMark } from '../parts/status.js'
import { words } from '../words/index.js'

type Attempt = TaskDetailView['attempts'][number]

/** An attempt with its times, Unix ms. */
interface Timed {
  attempt: Attempt
  /** When the task began to wait for it. */
  waitedFrom: number
  assigned: number
  accepted: number | null
  firstWord: number | null
  /** Now, while it goes on. */
  ended: number
}

/** The times of what came before this version are in seconds. */
const ms = (precise: number | null | undefined, seconds: number | null): number | null =>
  precise ?? (seconds === null ? null : seconds * 1000)

/** The attempts of a task, each with the wait before it. */
export function timed(task: TaskDetailView, now: number): Timed[] {
  let waitedFrom = task.created_ms ?? task.created_at * 1000
  return task.attempts.map((attempt, i) => {
    // One that was opened again waited from then on.
    const reopened = task.earlier_ends.find((e) => e.attempt === task.attempts[i - 1]?.attempt)
    if (reopened !== undefined) waitedFrom = Math.max(waitedFrom, reopened.reopened_at * 1000)
    const assigned = ms(attempt.assigned_ms, attempt.assigned_at) ?? waitedFrom
    const one = {
      attempt,
      waitedFrom: Math.min(waitedFrom, assigned),
      assigned,
      accepted: ms(attempt.accepted_ms, attempt.accepted_at),
      firstWord: attempt.first_word_ms ?? null,
      ended: ms(attempt.ended_ms, attempt.ended_at) ?? now,
    }
    waitedFrom = one.ended
    return one
  })
}

const parts = ['waited', 'offered', 'read', 'wrote'] as const
type Part = (typeof parts)[number]

/** What an attempt spent its time with, ms; null where it did not come so far. */
function spans({ waitedFrom, assigned, accepted, firstWord, ended }: Timed): Record<Part, number | null> {
  return {
    waited: assigned - waitedFrom,
    offered: (accepted ?? ended) - assigned,
    read: accepted === null ? null : (firstWord ?? ended) - accepted,
    wrote: firstWord === null ? null : ended - firstWord,
  }
}

/** The same as bars. What they say is in the table. */
function Bars({ one, from, to }: { one: Timed; from: number; to: number }) {
  const all = spans(one)
  const total = Math.max(1, to - from)
  let left = one.waitedFrom - from
  return (
    <div class="bars" aria-hidden="true">
      {parts.map((part) => {
        const at = left
        const width = all[part] ?? 0
        left += width
        return width <= 0 ? null : (
          <i
            class={`bar-${part}`}
            style={{ left: `${(at / total) * 100}%`, width: `${Math.max(0.4, (width / total) * 100)}%` }}
            key={part}
          />
        )
      })}
    </div>
  )
}

const seconds = (span: number | null): string => (span === null ? NONE : duration(span / 1000))

/** Where the time of a task went: each attempt from its wait to its end, and whose fault that was. */
export function Waterfall({ task, now }: { task: TaskDetailView; now: number }) {
  const t = words.value
  const attempts = timed(task, now)
  const from = task.created_ms ?? task.created_at * 1000
  const waits = task.status === 'pending'
  const waitsFrom = waits ? Math.max(task.queued_ms ?? 0, attempts.at(-1)?.ended ?? from) : null
  const to = waits ? now : Math.max(from + 1, ...attempts.map(({ ended }) => ended))
  return (
    <Scroll label={t.task.way}>
      <ul class="legend">
        {parts.map((part) => (
          <li key={part}>
            <i class={`bar-${part}`} aria-hidden="true" /> {t.task.parts[part]}
          </li>
        ))}
      </ul>
      <table class="waterfall">
        <thead>
          <tr>
            <th scope="col" class="figure">
              {t.task.attempt}
            </th>
            <th scope="col">{t.tasks.node}</th>
            <th scope="col" class="wide">
              {t.task.span(seconds(to - from))}
            </th>
            {parts.map((part) => (
              <th scope="col" class="figure" key={part}>
                {t.task.parts[part]}
              </th>
            ))}
            <th scope="col">{t.task.end}</th>
            <th scope="col" class="figure">
              {t.task.tokens}
            </th>
            <th scope="col">{t.tasks.error}</th>
          </tr>
        </thead>
        <tbody>
          {attempts.map((one) => {
            const all = spans(one)
            const { attempt } = one
            return (
              <tr key={`${attempt.attempt} ${one.assigned}`}>
                <td class="figure">{number(attempt.attempt)}</td>
                <td class="cut">
                  <a href={paths.node(attempt.node_id)}>{attempt.node_id}</a>
                </td>
                <td class="wide">
                  <Bars one={one} from={from} to={to} />
                </td>
                {parts.map((part) => (
                  <td class="figure" key={part}>
                    {seconds(all[part])}
                  </td>
                ))}
                <td>
                  <EndMark end={attempt.end} fault={attempt.fault} />
                  <span class="quiet"> {attempt.ended_at === null ? '' : time(one.ended)}</span>
                </td>
                <td class="figure">
                  {attempt.usage === null
                    ? NONE
                    : `${number(attempt.usage.prompt_tokens)} / ${number(attempt.usage.completion_tokens)}`}
                </td>
                <td class="error">{attempt.error}</td>
              </tr>
            )
          })}
          {waitsFrom !== null && (
            <tr>
              <td />
              <td class="quiet">{t.task.stillWaits}</td>
              <td class="wide">
                <div class="bars" aria-hidden="true">
                  <i
                    class="bar-waited"
                    style={{
                      left: `${((waitsFrom - from) / Math.max(1, to - from)) * 100}%`,
                      width: `${((to - waitsFrom) / Math.max(1, to - from)) * 100}%`,
                    }}
                  />
                </div>
              </td>
              <td class="figure">{seconds(now - waitsFrom)}</td>
              <td colSpan={6} />
            </tr>
          )}
        </tbody>
      </table>
    </Scroll>
  )
}
