/** So many columns of a task hold its open attempt. */
const OPEN_COLUMNS = 9

/**
 * Compares a database with what was promised until `until`. Gives back what is wrong, one sentence each.
 * @param done whether all work has come to its end
 */
export function checkDatabase(db, record, { until = Infinity, done = false } = {}) {
  const wrong = []
  const say = (text) => wrong.push(text)
  const integrity = db.pragma('integrity_check', { simple: true })
  if (integrity !== 'ok') return [`integrity_check: ${integrity}`]

  const rows = new Map(
    db
      .prepare('SELECT * FROM inference_tasks')
      .all()
      .map((row) => [row.task_id, row]),
  )
  const attempts = new Map([...rows.keys()].map((id) => [id, []]))
  for (const a of db.prepare('SELECT * FROM attempts ORDER BY attempt').all()) {
    if (attempts.has(a.task_id)) attempts.get(a.task_id).push(a)
    else say(`${a.task_id} has an attempt and no task`)
  }
  for (const a of db.prepare('SELECT * FROM ended_attempts WHERE ended_ms IS NULL').all())
    say(`${a.task_id}: attempt ${a.attempt} has a row and no end`)

  for (const [id, { submission, at }] of record.tasks) {
    const row = rows.get(id)
    if (at > until) continue
    if (row === undefined) say(`${id} was acknowledged and is lost`)
    else
      for (const [field, value] of Object.entries(submission))
        if (row[field] !== value) say(`${id}: ${field} has changed`)
  }
  for (const [id, { output, node, at }] of record.results) {
    const row = rows.get(id)
    if (at > until) continue
    if (row?.status !== 'completed' || row.inference_node_id !== node)
      say(`${id}: its result by ${node} was settled, and it is ${row?.status} by ${row?.inference_node_id}`)
    else if (!Buffer.from(row.output).equals(Buffer.from(output))) say(`${id}: its settled result has changed`)
  }
  for (const [id, { at }] of record.failures) {
    if (at <= until && rows.get(id)?.status !== 'failed')
      say(`${id} was settled as failed and is ${rows.get(id)?.status}`)
  }

  const recount = {}
  for (const [id, row] of rows) {
    recount[row.status] = (recount[row.status] ?? 0) + 1
    const own = attempts.get(id)
    const open = own.filter((a) => a.ended_ms === null).length
    const completed = own.filter((a) => a.end === 'completed')
    if (own.some((a, i) => a.attempt !== i + 1) || own.length !== row.attempt)
      say(`${id}: its attempts are ${own.map((a) => a.attempt).join()} and its row says ${row.attempt}`)
    const columns = Object.keys(row).filter((c) => c.startsWith('open_') && row[c] !== null).length
    if (columns !== (row.status === 'in_progress' ? OPEN_COLUMNS : 0))
      say(`${id} is ${row.status} and has ${columns} columns of an open attempt`)
    if (own.some((a) => (a.ended_ms === null) !== (a.end === null))) say(`${id}: an attempt has half an end`)
    if (open !== (row.status === 'in_progress' ? 1 : 0)) say(`${id} is ${row.status} and has ${open} open attempts`)
    if (completed.length !== (row.status === 'completed' ? 1 : 0))
      say(`${id} is ${row.status} and has ${completed.length} results`)
    if ((row.output !== null) !== (row.status === 'completed'))
      say(`${id} is ${row.status} and its output is ${row.output === null ? 'missing' : 'there'}`)
    if (row.output !== null && completed[0]?.node_id !== row.inference_node_id)
      say(`${id}: its result is by ${row.inference_node_id}, its attempt by ${completed[0]?.node_id}`)
    if (row.output !== null && !record.hasSent(id, row.inference_node_id, row.output))
      say(`${id}: its result is not what ${row.inference_node_id} sent`)
    if (done && (row.status === 'pending' || row.status === 'in_progress')) say(`${id} is stuck in ${row.status}`)
    if (done && !record.tasks.has(id)) say(`${id} is there and was never acknowledged, although its submitter insisted`)
  }
  const counters = Object.fromEntries(
    db
      .prepare('SELECT status, tasks FROM task_counts WHERE tasks <> 0')
      .all()
      .map((c) => [c.status, c.tasks]),
  )
  for (const status of new Set([...Object.keys(counters), ...Object.keys(recount)])) {
    if (counters[status] !== recount[status])
      say(`the counter of ${status} is ${counters[status]}, a recount gives ${recount[status]}`)
  }
  return wrong
}

/** What /stats calls the number of tasks of each status. */
const statNames = {
  pending: 'pending_tasks',
  in_progress: 'processing_tasks',
  completed: 'completed_tasks',
  submitted: 'submitted_tasks',
  failed: 'failed_tasks',
  timeout: 'timeout_tasks',
}

/** Whether `/stats` says what the tables do. */
export function checkStats(db, stats) {
  const rows = Object.fromEntries(
    db
      .prepare('SELECT status, count(*) AS n FROM inference_tasks GROUP BY status')
      .all()
      .map((r) => [r.status, r.n]),
  )
  const wrong = Object.entries(statNames).flatMap(([status, name]) =>
    stats?.[name] === (rows[status] ?? 0)
      ? []
      : [`/stats says ${stats?.[name]} ${name}, a recount gives ${rows[status] ?? 0}`],
  )
  const total = Object.values(rows).reduce((a, b) => a + b, 0)
  return stats?.total_tasks === total
    ? wrong
    : [...wrong, `/stats says ${stats?.total_tasks} tasks, there are ${total}`]
}

/** Prints figures as lines of two columns. */
export function print(figures) {
  const width = Math.max(...Object.keys(figures).map((k) => k.length))
  for (const [name, value] of Object.entries(figures)) console.log(`  ${name.padEnd(width)}  ${value}`)
}

/** Where a scrape of the metrics says something else than /stats. */
export function checkMetrics(stats, scrape) {
  const samples = new Map(
    [...scrape.matchAll(/^inference_tasks\{status="(\w+)"\} (\d+)$/gm)].map(([, status, n]) => [status, Number(n)]),
  )
  return Object.entries(statNames).flatMap(([status, name]) =>
    samples.get(status) === stats?.[name]
      ? []
      : [`/metrics says ${samples.get(status)} tasks are ${status}, /stats ${stats?.[name]}`],
  )
}
