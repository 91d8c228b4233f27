import { useEffect, useRef, useState } from 'preact/hooks'
import type { InferOutput } from 'valibot'
import type { tasksPage } from '../../../src/wire/task-answers.js'
import { can } from '../state/access.js'
import { ask, type Answer } from '../state/api.js'
import { Dialog } from '../parts/dialog.js'
import { number } from '../parts/format.js'
import { api, withQuery } from '../parts/paths.js'
import type { TaskStatus } from '../parts/status.js'
import { words } from '../words/index.js'
import { filterQuery, isSince, type Filter } from './tasks.js'

type Deed = 'cancel' | 'retry'
const meant: Readonly<Record<Deed, readonly TaskStatus[]>> = {
  cancel: ['pending', 'in_progress'],
  retry: ['failed', 'timeout'],
}
/** So many tasks at most at once; who means more does it again. */
const MOST = 1000
/** Requests under way at the same time. */
const AT_ONCE = 4

/** Asks until the service has room for it. */
async function patiently<T>(path: string, method: 'GET' | 'POST', isStopped: () => boolean): Promise<Answer<T>> {
  for (;;) {
    const answer = await ask<T>(path, method)
    if (answer.ok || answer.status !== 429 || isStopped()) return answer
    await new Promise((resolve) => setTimeout(resolve, answer.retryAfter * 1000))
  }
}

/** The tasks of a filter that a deed can be done to. */
async function collect(
  filter: Filter,
  deed: Deed,
  isStopped: () => boolean,
): Promise<{ ids: string[]; more: boolean }> {
  const ids: string[] = []
  const wanted = filter.status === null ? meant[deed] : meant[deed].filter((s) => s === filter.status)
  for (const status of wanted) {
    for (let cursor: string | null = ''; cursor !== null;) {
      if (isStopped()) return { ids, more: false }
      const query = withQuery('/api/v1/tasks', { ...filterQuery(filter), status, cursor, limit: '500' })
      const page: Answer<InferOutput<typeof tasksPage>> = await patiently(query, 'GET', isStopped)
      if (!page.ok) return { ids, more: true }
      const tasks = page.data.tasks.filter((task) => isSince(filter, task))
      for (const { task_id } of tasks) {
        if (ids.length === MOST) return { ids, more: true }
        ids.push(task_id)
      }
      cursor = tasks.length < page.data.tasks.length ? null : page.data.next_cursor
    }
  }
  return { ids, more: false }
}

interface Progress {
  done: number
  failed: number
  /** The first sentence of the service about one that was not done. */
  why: string | null
}

function Confirm({ filter, deed, onClose }: { filter: Filter; deed: Deed; onClose: () => void }) {
  const t = words.value
  const [found, setFound] = useState<{ ids: string[]; more: boolean } | null>(null)
  const [progress, setProgress] = useState<Progress | null>(null)
  const stopped = useRef(false)
  useEffect(() => {
    void collect(filter, deed, () => stopped.current).then((all) => !stopped.current && setFound(all))
    return () => {
      stopped.current = true
    }
  }, [])
  const ids = found?.ids ?? []
  const run = async (): Promise<void> => {
    const rest = ids.values()
    setProgress({ done: 0, failed: 0, why: null })
    const worker = async (): Promise<void> => {
      for (const id of rest) {
        if (stopped.current) return
        const answer = await patiently<string>(`${api.task(id)}/${deed}`, 'POST', () => stopped.current)
        setProgress((p) => ({
          done: (p?.done ?? 0) + Number(answer.ok),
          failed: (p?.failed ?? 0) + Number(!answer.ok),
          why: p?.why ?? (answer.ok ? null : answer.message),
        }))
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, worker))
  }
  const isOver = progress !== null && progress.done + progress.failed >= ids.length
  return (
    <Dialog title={t.bulk[deed]} onClose={onClose}>
      {found === null ? (
        <p>{t.loading}</p>
      ) : (
        <p>
          {t.bulk.count[deed](number(ids.length))}
          {found.more && ` ${t.bulk.more}`}
        </p>
      )}
      {progress !== null && (
        <>
          <progress value={progress.done + progress.failed} max={ids.length} aria-label={t.bulk[deed]} />
          <p role="status">
            {t.bulk.progress(number(progress.done), number(progress.failed))} {progress.why}
          </p>
        </>
      )}
      <form method="dialog" class="bar">
        {progress === null && (
          <button
            type="button"
            class={deed === 'cancel' ? 'danger' : 'primary'}
            disabled={ids.length === 0}
            onClick={() => void run()}
          >
            {t.bulk.confirm[deed](number(ids.length))}
          </button>
        )}
        <button type="submit">{isOver ? t.close : progress === null ? t.never : t.stop}</button>
      </form>
    </Dialog>
  )
}

/** To cancel or to retry all tasks of a filter; how many those are is said first. */
export function Bulk({ filter, onDone }: { filter: Filter; onDone: () => void }) {
  const t = words.value
  const [deed, setDeed] = useState<Deed | null>(null)
  const deeds = (['cancel', 'retry'] as const).filter(
    (d) => can(d) && (filter.status === null || meant[d].includes(filter.status)),
  )
  return (
    <>
      {deeds.map((d) => (
        <button type="button" onClick={() => setDeed(d)} key={d}>
          {t.bulk[d]}
        </button>
      ))}
      {deed !== null && (
        <Confirm
          filter={filter}
          deed={deed}
          onClose={() => {
            setDeed(null)
            onDone()
          }}
        />
      )}
    </>
  )
}
