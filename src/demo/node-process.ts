import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** An inference node in a process of its own, started with the same command as anybody's. */
export interface NodeProcess {
  id: string
  child: ChildProcess
  /** Asks it to finish what it has and to leave; kills it when it does not within 5 s. */
  leave(): Promise<void>
  /** The last lines of its log. */
  tail(): string
}

/** @param backend the lines of the section [backend] of its configuration */
export function startNode(
  dir: string,
  id: string,
  coordinator: string,
  models: string[],
  slots: number,
  backend: string[],
): NodeProcess {
  const home = join(dir, id)
  mkdirSync(home)
  writeFileSync(
    join(home, 'node.toml'),
    [
      '[node]',
      `coordinator = "${coordinator}"`,
      `node_id = "${id}"`,
      `models = ${JSON.stringify(models)}`,
      `max_concurrent_tasks = ${slots}`,
      '',
      '[backend]',
      ...backend,
      '',
    ].join('\n'),
  )
  const logFile = join(home, 'log')
  const log = openSync(logFile, 'w')
  const cli = process.argv[1] ?? ''
  const child = spawn(process.execPath, [cli, 'run-inference-node', '--config', 'node.toml'], {
    cwd: home,
    stdio: ['ignore', log, log],
  })
  closeSync(log)
  const exited = once(child, 'exit')
  return {
    id,
    child,
    async leave() {
      child.kill('SIGTERM')
      const late = setTimeout(() => child.kill('SIGKILL'), 5000)
      await exited
      clearTimeout(late)
    },
    tail: () => readFileSync(logFile, 'utf8').trim().split('\n').slice(-5).join('\n'),
  }
}
