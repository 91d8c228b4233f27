import type * as v from 'valibot'
import type { ClientServerMessage } from '../wire/client-answers.js'
import type { modelView } from '../wire/model-answers.js'
import type { listQuery, submitBody } from '../wire/rest.js'
import type { NodeListEntry, StatsView } from '../wire/service-answers.js'
import type { TaskDetailView, taskLine } from '../wire/task-answers.js'

/** A task, as `POST /api/v1/tasks/submit` takes it. Without a `task_id` the client makes one. */
export type Submission = v.InferInput<typeof submitBody>

type TaskResult = Extract<ClientServerMessage, { type: 'task.result' }>
/** The result of a task. */
export type InferenceResult = Pick<TaskResult, 'task_id' | 'status' | 'attempt'> & NonNullable<TaskResult['result']>

/** A task with its history. */
export type TaskDetail = TaskDetailView
/** A task in the list, without its texts. */
export type TaskLine = v.InferOutput<typeof taskLine>
/** Which tasks are listed. */
export type TaskFilter = Pick<v.InferInput<typeof listQuery>, 'status' | 'model' | 'user' | 'node'>
export type Stats = StatsView
export type NodeEntry = NodeListEntry
/** A model that nodes which are there now serve. */
export type Model = Pick<v.InferOutput<typeof modelView>, 'id' | 'created'>
