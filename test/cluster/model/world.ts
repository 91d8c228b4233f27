import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import * as v from 'valibot'
import type { Logger } from '../../../src/lib/log.js'
import { registerBody, submitBody } from '../../../src/wire/rest.js'
import { createLedger } from './ledger.js'
import { createMemoryLog } from './memory-log.js'
import { startMember, type Broken, type ModelMember } from './model-member.js'
import { NODES, type Schedule, type Step } from './steps.js'
import { seeded } from '../../support/seeded.js'
import { pass } from './virtual-time.js'

const LARGE_CHARACTERS = 700_000

export interface WorldParts {
  schedule: Schedule
  /** Where its files are; of an empty database there is a template. */
  root: string
  template: string
  broken: Broken
  logger: Logger
}

export type World = ReturnType<typeof createWorld>

/** Some coordinators on one log, nodes and submitters that speak with whoever says that he owns the work, and what happens to them. */
export function createWorld({ schedule, root, template, broken, logger }: WorldParts) {
  const random = seeded(schedule.seed)
  const log = createMemoryLog(random)
  const ledger = createLedger()
  const folder = mkdtempSync(join(root, 'world-'))
  const nodes = Array.from({ length: NODES }, (_, i) => ({
    node_id: `node-${i}`,
    busy: false,
    result: null as { task_id: string; output: string } | null,
  }))
  let outputs = 0
  let folders = 0
  const newFolder = (): string => join(folder, String(++folders))
  const start = (name: string, at: string): ModelMember =>
    startMember({ name, folder: at, log, logger, random, broken, others: () => members })
  const members: ModelMember[] = Array.from({ length: schedule.members }, (_, i) => {
    const at = newFolder()
    mkdirSync(at)
    cpSync(template, join(at, 'inference.db'))
    return start(`c${i}`, at)
  })
  /** Where the files of those that are dead are found. */
  const left = new Map<ModelMember, string>()

  const owners = (): ModelMember[] => members.filter((m) => m.isOwner())
  const one = <T>(list: readonly T[], which: number): T | undefined => list[which % Math.max(1, list.length)]
  const memberOf = (who: number | 'owner'): ModelMember | undefined =>
    who === 'owner' ? owners()[0] : one(members, who)

  const submit = async (n: number, large: boolean): Promise<void> => {
    const task_id = `t${n}`
    const owner = one(owners(), n)
    const task = v.parse(submitBody, {
      task_id,
      user_address: 'ST1',
      user_input: large ? 'q'.repeat(LARGE_CHARACTERS) : 'q',
      infer_fee: n,
      max_infer_time: 600,
      model_name: 'llama',
    })
    const outcome = await owner?.call({ op: 'submit', tasks: [task] })
    if (outcome?.ok === true && outcome.value[0]?.ok === true) ledger.acknowledged(task_id)
  }
  const look = async (task_id: string, owner: ModelMember | undefined): Promise<void> => {
    const answered = ledger.asks(task_id)
    const outcome = await owner?.call({ op: 'task', task_id })
    if (outcome != null) answered(outcome, owner?.name ?? '')
  }
  const cancel = async (task_id: string, owner: ModelMember | undefined): Promise<void> => {
    const outcome = await owner?.call({ op: 'cancel', task_id })
    if (outcome?.ok === true) ledger.ended(task_id, { status: 'failed', output: null }, 'a cancellation')
  }
  /** A node says its result until it is settled, as it does on its disk; else it asks for a task. */
  const work = async (node: (typeof nodes)[number], owner: ModelMember): Promise<void> => {
    const { node_id, result } = node
    if (result !== null) {
      const outcome = await owner.call({ op: 'complete', node_id, ...result, confidence: 1 })
      if (outcome?.ok === true)
        ledger.ended(result.task_id, { status: 'completed', output: result.output }, 'a settlement')
      if (outcome?.ok === true || outcome?.code === 'conflict') node.result = null
      if (outcome?.ok === false && outcome.code === 'task_not_found')
        ledger.violations.push(`I1: ${result.task_id} was given to ${node_id}, and ${owner.name} does not know it`)
      return
    }
    const body = v.parse(registerBody, {
      node_id,
      endpoint: '',
      public_key: 'placeholder',
      supported_models: ['llama'],
    })
    await owner.call({ op: 'register', node: body, from: [] })
    const outcome = await owner.call({ op: 'poll', node_id, running: null })
    if (outcome?.ok === true && outcome.value !== null)
      node.result = { task_id: outcome.value.task.task_id, output: `output ${++outputs}` }
  }
  const goToWork = (n: number): void => {
    const node = one(nodes, n)
    const owner = one(owners(), n)
    if (node === undefined || owner === undefined || node.busy) return
    node.busy = true
    void work(node, owner).finally(() => (node.busy = false))
  }

  const die = (member: ModelMember | undefined, disk: boolean, lostCommits = 0): void => {
    if (member === undefined || member.isDead()) return
    const to = newFolder()
    member.die(disk ? null : to, lostCommits)
    if (disk) mkdirSync(to)
    left.set(member, to)
  }
  const restart = (): void => {
    for (const [member, at] of left) members[members.indexOf(member)] = start(member.name, at)
    left.clear()
  }
  const heal = (): void => {
    log.loseOnBus(0)
    for (const member of members) member.client.heal()
  }

  const take = (step: Step): void => {
    switch (step.do) {
      case 'submit':
        for (let i = 0; i < step.times; i++) void submit(step.task + i, step.size === 'large')
        return
      case 'work':
        return goToWork(step.node)
      case 'cancel':
        return void cancel(`t${step.task}`, one(owners(), step.which))
      case 'look':
        return void look(`t${step.task}`, one(owners(), step.which))
      case 'crash':
        return die(memberOf(step.who), step.disk)
      case 'restart':
        return restart()
      case 'heal':
        return heal()
      case 'leave':
        return void owners()[0]?.leave()
      case 'power cut':
        for (const member of members) die(member, false, random())
        return restart()
      case 'cut':
        return memberOf(step.who)?.client.cut(step.what)
      case 'pause':
        return memberOf(step.who)?.client.pause(step.ms)
      case 'lose ack':
      case 'drop':
        return memberOf(step.who)?.client.disturb({ kind: step.do })
      case 'delay':
      case 'reorder':
        return memberOf(step.who)?.client.disturb({ kind: step.do, ms: step.ms })
      case 'bus loses':
        return log.loseOnBus(step.share)
      case 'log loses':
        return log.lose(step.count)
      case 'pass':
        return
    }
  }

  return {
    log,
    ledger,
    owners,
    members: (): readonly ModelMember[] => members,
    look,
    async step(step: Step) {
      take(step)
      await pass(step.do === 'pass' ? step.ms : Math.floor(random() * 9))
    },
    /** The last fault is over: all are there, and reach each other. */
    recover() {
      restart()
      heal()
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}
