import { readStake } from '../chain/clarity.js'
import type { ChainRpc } from '../chain/rpc/chain-rpc.js'
import type { Scheduler } from '../core/engine/scheduler.js'
import type { StakeSeen } from '../core/settlement/reports.js'
import type { Logger } from '../lib/log.js'

/** How many are asked for at once. */
const PARALLEL = 8

export interface StakeParts {
  rpc: Pick<ChainRpc, 'stake' | 'info'>
  call: Scheduler['call']
  log: Pick<Logger, 'error'>
  /** Whose contract holds them. */
  bootAddress: string
  /** How often it is looked whether some are due, ms. */
  interval: number
}

/** Asks the chain for the stakes that the core wants to know, aside from every task's way. */
export function createStakeWatch({ rpc, call, log, bootAddress, interval }: StakeParts) {
  let timer: NodeJS.Timeout | undefined
  let asking: Promise<void> | null = null

  const one = async (address: string): Promise<StakeSeen> => {
    const reply = await rpc.stake(address, bootAddress)
    if (reply.is === 'unreachable') return { address, stake: 'unknown' }
    try {
      const stake = readStake(reply.result)
      return {
        address,
        stake: stake === null ? null : { amount: toNumber(stake.amount), unlock_height: toNumber(stake.unlockHeight) },
      }
    } catch (error) {
      log.error({ event: 'stake.unreadable', address, err: error }, 'the answer about a stake cannot be read')
      return { address, stake: 'unknown' }
    }
  }

  const ask = async (): Promise<void> => {
    const due = await call({ op: 'stakesDue' })
    if (!due.ok || due.value.addresses.length === 0) return
    const info = await rpc.info()
    const left = [...due.value.addresses]
    const stakes: StakeSeen[] = []
    const serve = async (): Promise<void> => {
      for (let address = left.shift(); address !== undefined; address = left.shift()) stakes.push(await one(address))
    }
    await Promise.all(Array.from({ length: PARALLEL }, serve))
    await call({ op: 'stakes', stakes, burn_height: info.is === 'unreachable' ? 0 : info.burnHeight })
  }

  return {
    start(): void {
      timer = setInterval(() => {
        asking ??= ask()
          .catch((error: unknown) => log.error({ event: 'stake.failed', err: error }, 'stakes could not be asked for'))
          .finally(() => {
            asking = null
          })
      }, interval)
      timer.unref()
    },
    async stop(): Promise<void> {
      clearInterval(timer)
      await asking
    },
  }
}

/** Above what a number holds exactly there is always enough. */
const toNumber = (n: bigint): number => Number(n > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : n)
