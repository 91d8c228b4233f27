import { useEffect, useRef, useState } from 'preact/hooks'
import type { InferOutput } from 'valibot'
import type { tasksPage } from '../../../src/wire/task-answers.js'
import { can } from '../state/access.js'
import { ask, type Answer, type Failure } from '../state/api.js'
import { Dialog } from '../parts/dialog.js'
import { counted, number } from '../parts/format.js'
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

interface Found {
  ids: string[]
  /** There are more of them than are done at once. */
  more: boolean
  /** Why not all of them could be looked for. */
  failure: Failure | null
}

/** The tasks of a filter that a deed can be done to. */
async function collect(filter: Filter, deed: Deed, isStopped: () => boolean): Promise<Found> {
  const ids: string[] = []
  const wanted = filter.status === null ? meant[deed] : meant[deed].filter((s) => s === filter.status)
  for (const status of wanted) {
    for (let cursor: string | null = ''; cursor !== null;) {
      if (isStopped()) return { ids, more: false, failure: null }
      const query = withQuery('/api/v1/tasks', { ...filterQuery(filter), status, cursor, limit: '500' })
      const page: Answer<InferOutput<typeof tasksPage>> = await patiently(query, 'GET', isStopped)
      if (!page.ok) return { ids, more: false, failure: page }
      const tasks = page.data.tasks.filter((task) => isSince(filter, task))
      for (const { task_id } of tasks) {
        if (ids.length === MOST) return { ids, more: true, failure: null }
        ids.push(task_id)
      }
      cursor = tasks.length < page.data.tasks.length ? null : page.data.next_cursor
    }
  }
  return { ids, more: false, failure: null }
}

/** Why something was not done, in a sentence. */
const said = ({ status, message }: Failure): string => (status === 0 ? words.value.live.down : message)

interface Progress {
  done: number
  failed: number
  /** The first reason why one was not done. */
  why: string | null
  isOver: boolean
}
const nothingYet: Progress = { done: 0, failed: 0, why: null, isOver: false }

function Confirm({ filter, deed, onClose }: { filter: Filter; deed: Deed; onClose: () => void }) {
  const t = words.value
  const [found, setFound] = useState<Found | null>(null)
  const [progress, setProgress] = useState<Progress | null>(null)
  const stopped = useRef(false)
  const isStopped = (): boolean => stopped.current
  const stop = (): void => {
    stopped.current = true
  }
  useEffect(() => {
    void collect(filter, deed, isStopped).then((all) => !isStopped() && setFound(all))
    return stop
  }, [])
  const ids = found?.ids ?? []
  const run = async (): Promise<void> => {
    const rest = ids.values()
    setProgress(nothingYet)
    const worker = async (): Promise<void> => {
      for (const id of rest) {
        const answer = await patiently<string>(`${api.task(id)}/${deed}`, 'POST', isStopped)
        setProgress((p) => ({
          ...(p ?? nothingYet),
          done: (p?.done ?? 0) + Number(answer.ok),
          failed: (p?.failed ?? 0) + Number(!answer.ok),
          why: p?.why ?? (answer.ok ? null : said(answer)),
        }))
        // A service that is not there, or a token that is no longer good, is the same for all of them.
        if (!answer.ok && (answer.status === 0 || answer.status === 401)) stop()
        if (isStopped()) return
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, worker))
    setProgress((p) => ({ ...(p ?? nothingYet), isOver: true }))
  }
  return (
    <Dialog title={t.bulk[deed]} onClose={onClose}>
      {found === null ? (
        <p>{t.loading}</p>
      ) : (
        <p>
          {t.bulk.count[deed](counted(ids.length))} {found.more && t.bulk.more(number(MOST))}{' '}
          {found.failure !== null && t.bulk.broken(said(found.failure))}
        </p>
      )}
      {progress !== null && (
        <>
          <progress value={progress.done + progress.failed} max={ids.length} aria-label={t.bulk[deed]} />
          <p role="status">
            {t.bulk.progress(number(progress.done), number(progress.failed), number(ids.length))} {progress.why}{' '}
            {progress.isOver && progress.done + progress.failed < ids.length && t.bulk.stopped}
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
            {t.bulk.confirm[deed](counted(ids.length))}
          </button>
        )}
        {progress !== null && !progress.isOver ? (
          <button type="button" onClick={stop}>
            {t.stop}
          </button>
        ) : (
          <button type="submit">{progress === null ? t.never : t.close}</button>
        )}
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
