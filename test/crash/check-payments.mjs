import { createHash } from 'node:crypto'
import { createPayees } from '../../dist/core/settlement/payees.js'

const hash = (text) => createHash('sha256').update(text).digest('hex')

/**
 * Compares a database with a chain, after both have come to rest. Gives back what is wrong, one sentence each.
 * @param chain what was posted, `find(txid)`, `account(address)`, and `canonical`: the hashes of its blocks by height
 * @param acknowledged ids of the tasks that were taken
 * @param known index hashes of the blocks that the database has had at any time
 */
export function checkPayments(db, chain, { acknowledged, known }) {
  const wrong = []
  const say = (text) => wrong.push(text)
  const payees = createPayees('testnet', () => undefined)
  const nodes = new Map(
    db
      .prepare('SELECT * FROM inference_nodes')
      .all()
      .map((n) => [n.node_id, n]),
  )
  const tasks = db.prepare('SELECT * FROM inference_tasks').all()
  const settlements = new Map(
    db
      .prepare('SELECT * FROM settlements')
      .all()
      .map((s) => [s.task_id, s]),
  )
  const posts = new Map()
  for (const { txid, payee, outputHash } of chain.posts)
    posts.set(txid, new Set([...(posts.get(txid) ?? []), `${payee} ${outputHash}`]))
  const isUnknownFrom = firstGap(chain.canonical, known)

  const ids = new Set(tasks.map((t) => t.task_id))
  for (const id of acknowledged) if (!ids.has(id)) say(`${id} was acknowledged and is lost`)

  const paid = new Map()
  const states = {}
  for (const task of tasks) {
    const { task_id: id, txid, status } = task
    const row = settlements.get(id)
    if (status === 'failed' || status === 'timeout') {
      if (row !== undefined) say(`${id} is ${status} and has a settlement`)
      if (!tasks.some((t) => t.txid === txid && t.status === 'submitted'))
        say(`${id} is ${status}, and nothing else has its payment`)
      continue
    }
    if (status !== 'submitted') {
      say(`${id} is ${status} in the end`)
      continue
    }
    if (row === undefined) {
      say(`${id} has its result and no settlement`)
      continue
    }
    states[row.state] = (states[row.state] ?? 0) + 1
    const due = `${payees.of(nodes.get(task.inference_node_id))} ${hash(task.output)}`
    if (`${row.payee} ${row.output_hash}` !== due)
      say(`${id}: its settlement is for ${row.payee} ${row.output_hash}, not ${due}`)
    const posted = [...(posts.get(txid) ?? [])]
    if (posted.join() !== due) say(`${id}: it was posted as ${posted.join(' and as ') || 'nothing'}, not ${due}`)
    const found = chain.find(txid)
    const [entry] = found
    if (found.length !== 1 || entry === undefined) say(`${id}: it is ${found.length} times in the chain`)
    else {
      const { tx } = entry.payment
      if (entry.status !== 'success' || `${entry.payee} ${tx.outputHash}` !== due)
        say(`${id}: the chain has ${entry.status} ${entry.payee} ${tx.outputHash}, not ${due}`)
      paid.set(entry.payee, (paid.get(entry.payee) ?? 0n) + (tx.amount * 9n) / 10n)
    }
    if (row.final !== 1) say(`${id}: its settlement is ${row.state}, and not final: ${row.last_error}`)
    // What no block has told us is not known: blocks that were answered just before a kill are lost.
    const isTold = entry !== undefined && entry.height >= isUnknownFrom
    if (row.state !== 'confirmed' && (row.state !== 'mined_unverified' || isTold))
      say(`${id}: its settlement is ${row.state}: ${row.last_error}`)
    if (row.state === 'confirmed' && isTold && row.index_block_hash !== entry.indexHash)
      say(`${id}: it is confirmed in ${row.index_block_hash}, and the chain has it in ${entry.indexHash}`)
  }
  for (const [payee, amount] of paid)
    if (chain.account(payee).balance !== amount)
      say(`${payee} has ${chain.account(payee).balance}, its tasks were worth ${amount}`)
  for (const { state, settlements: n } of db.prepare('SELECT * FROM settlement_counts').all())
    if (n !== (states[state] ?? 0)) say(`the counter of ${state} is ${n}, a recount gives ${states[state] ?? 0}`)
  return { wrong, states }
}

/** The height from which on the database has had every block of the canonical chain. */
function firstGap(canonical, known) {
  let height = canonical.length
  while (height > 0 && known.has(canonical[height - 1])) height--
  return height
}
