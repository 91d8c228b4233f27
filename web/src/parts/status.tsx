import type { InferOutput } from 'valibot'
import type { NodeStatus } from '../../../src/wire/fields.js'
import type { attemptEnd, attemptFault, taskStatus } from '../../../src/wire/task-answers.js'
import { words } from '../words/index.js'
import { Icon, type IconName } from './icons.js'

export type TaskStatus = InferOutput<typeof taskStatus>
export type AttemptEnd = InferOutput<typeof attemptEnd>
export type AttemptFault = InferOutput<typeof attemptFault>

const ofTask: Readonly<Record<TaskStatus, IconName>> = {
  pending: 'circle',
  in_progress: 'play',
  completed: 'check',
  submitted: 'double',
  failed: 'cross',
  timeout: 'clock',
}
const ofNode: Readonly<Record<NodeStatus, { icon: IconName; tone: string }>> = {
  online: { icon: 'check', tone: 'completed' },
  busy: { icon: 'play', tone: 'in_progress' },
  maintenance: { icon: 'wrench', tone: 'pending' },
  offline: { icon: 'cross', tone: 'offline' },
}
const ofEnd: Readonly<Record<AttemptEnd, { icon: IconName; tone: string }>> = {
  completed: { icon: 'check', tone: 'completed' },
  failed: { icon: 'cross', tone: 'failed' },
  lost: { icon: 'warn', tone: 'failed' },
  timeout: { icon: 'clock', tone: 'timeout' },
  rejected: { icon: 'dash', tone: 'pending' },
  unaccepted: { icon: 'dash', tone: 'pending' },
  superseded: { icon: 'dash', tone: 'pending' },
  cancelled: { icon: 'dash', tone: 'pending' },
}

export function TaskStatusMark({ status }: { status: TaskStatus }) {
  return (
    <span class="mark">
      <Icon name={ofTask[status]} tone={status} />
      {words.value.taskStatus[status]}
    </span>
  )
}

/**
 * What a node counts as. A drained one is in maintenance, and one that rests counts as busy, for the service gives them nothing: what
 * it is by is said instead.
 * @param drained an operator has drained it
 * @param resting it does nothing after failures in a row, which is told of beside this
 */
export function NodeStatusMark({
  status,
  drained = false,
  resting = false,
}: {
  status: NodeStatus
  drained?: boolean
  resting?: boolean
}) {
  const t = words.value
  const { icon, tone } = ofNode[status]
  const isSaid = (drained && status === 'maintenance') || (resting && status === 'busy')
  return (
    <span class="marks">
      {!isSaid && (
        <span class="mark">
          <Icon name={icon} tone={tone} />
          {t.nodeStatus[status]}
        </span>
      )}
      {drained && (
        <span class="mark">
          <Icon name="pause" tone="pending" />
          {t.nodes.drained}
        </span>
      )}
    </span>
  )
}

export function EndMark({ end, fault }: { end: AttemptEnd | null; fault: AttemptFault | null }) {
  const t = words.value
  if (end === null)
    return (
      <span class="mark">
        <Icon name="play" tone="in_progress" />
        {t.ends.open}
      </span>
    )
  const { icon, tone } = ofEnd[end]
  return (
    <span class="marks">
      <span class="mark">
        <Icon name={icon} tone={tone} />
        {t.ends[end]}
      </span>
      {fault !== null && <span class="quiet">{t.faultOf(t.faults[fault])}</span>}
    </span>
  )
}
