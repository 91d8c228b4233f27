import { setTimeout as sleep } from 'node:timers/promises'
import { isWhole, ownersOf } from './coordinators.mjs'

/**
 * What may happen to a cluster. Each fault is asked for its target when it comes, and gives back what undoes it.
 * @returns `choose(luck)`: a fault by a number from 0 to 1; `{ name, begin() }`
 */
export function createFaults({ members, logServers, choice }) {
  const owner = async () => (await ownersOf(members))[0] ?? members[0]
  const follower = async () => {
    const owners = await ownersOf(members)
    return members.find((member) => !owners.includes(member) && member.alive()) ?? members.at(-1)
  }
  const logServer = async (luck) => logServers.servers[Math.floor(luck * logServers.servers.length)]
  const leader = async (luck) => logServers.servers[await logServers.leader()] ?? logServer(luck)

  const kill = async (target) => {
    await target.kill()
    return () => target.alive() || target.start()
  }
  /** Not while another lacks something: what only one disk holds would be lost with it, as it is without a cluster. */
  const lose = async (target) => {
    if (!(await isWhole(members))) return null
    await target.kill()
    target.loseFolder()
    return () => target.alive() || target.start()
  }
  const pause = async (target) => {
    target.pause()
    return () => target.resume()
  }
  const onLinks = (make) => async (target) => {
    const links = target.links ?? logServers.routesOf(logServers.servers.indexOf(target))
    for (const link of links) make(link)
    return () => {
      for (const link of links) link.heal()
    }
  }
  const cut = onLinks((link) => link.cut())
  const cutTo = onLinks((link) => link.cut('to target'))
  const cutFrom = onLinks((link) => link.cut('from target'))
  const slow = onLinks((link) => link.delay(200))
  const eat = onLinks((link) => link.eat())
  const reset = onLinks((link) => link.closeAll())
  const killBoth = async (target) => {
    const other = await leader(0)
    const undo = [await kill(other), await kill(target)]
    return () => undo.forEach((one) => one())
  }

  /** Name, who it befalls, what is done, and how long it lasts, seconds. */
  const all = [
    ['the owner is killed', owner, kill, [0, 15]],
    ['the owner is killed and its folder deleted', owner, lose, [0, 15]],
    ['the owner stands still', owner, pause, [1, 20]],
    ['the owner is cut off', owner, cut, [1, 20]],
    ['the owner is not heard', owner, cutTo, [1, 20]],
    ['the owner hears nothing', owner, cutFrom, [1, 20]],
    ['acknowledgements to the owner are lost', owner, eat, [0.2, 3]],
    ['the links of the owner are slow', owner, slow, [1, 10]],
    ['the connections of the owner break', owner, reset, [0, 0]],
    ['the owner and the leader of its log are killed', owner, killBoth, [0, 15]],
    ['a follower is killed', follower, kill, [0, 10]],
    ['a follower is killed and its folder deleted', follower, lose, [0, 10]],
    ['a follower stands still', follower, pause, [1, 20]],
    ['a follower is cut off', follower, cut, [1, 15]],
    ['the leader of the log is killed', leader, kill, [0, 10]],
    ['a log server is killed', logServer, kill, [0, 10]],
    ['the leader of the log stands still', leader, pause, [1, 20]],
    ['a log server stands still', logServer, pause, [1, 20]],
    ['the leader of the log is cut off from the others', leader, cut, [1, 20]],
    ['a log server is cut off from the others', logServer, cut, [1, 15]],
    ['the routes of a log server are slow', logServer, slow, [1, 10]],
  ]
  const busy = new Set()
  return {
    names: all.map(([name]) => name),
    /**
     * Lets one fault come, last and be undone.
     * @param seed words that name it @param onBegin told when it is there
     * @returns its name; null when it could not be, for its target has another already
     */
    async happen(seed, { only, signal, onBegin = () => undefined, until = () => null }) {
      const index = only ?? Math.floor(choice('fault', ...seed) * all.length)
      const [name, whom, befall, [least, most]] = all[index]
      const target = await whom(choice('whom', ...seed))
      if (busy.has(target.name) || signal.aborted) return null
      busy.add(target.name)
      try {
        onBegin(name, target)
        const undo = await befall(target)
        if (undo === null) return null
        const seconds = least + choice('lasts', ...seed) * (most - least)
        await sleep(seconds * 1000, undefined, { signal }).catch(() => undefined)
        await until(name)
        undo()
        return `${name} (${target.name}, ${seconds.toFixed(1)} s)`
      } finally {
        busy.delete(target.name)
      }
    },
    /** Nothing is broken any more. */
    healAll() {
      logServers.healAll()
      for (const process of [...logServers.servers, ...members]) {
        process.resume()
        if (!process.alive()) process.start()
      }
    },
  }
}
