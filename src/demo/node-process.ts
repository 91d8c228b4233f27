import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startCli, type CliProcess } from './cli-process.js'

/** An inference node in a process of its own, started with the same command as anybody's. */
export interface NodeProcess extends CliProcess {
  id: string
}

/**
 * @param coordinator its URL, or those of several
 * @param backend the lines of the section [backend] of its configuration
 */
export function startNode(
  dir: string,
  id: string,
  coordinator: string | readonly string[],
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
      `coordinator = ${JSON.stringify(coordinator)}`,
      `node_id = "${id}"`,
      `models = ${JSON.stringify(models)}`,
      `max_concurrent_tasks = ${slots}`,
      '',
      '[backend]',
      ...backend,
      '',
    ].join('\n'),
  )
  return { id, ...startCli(home, ['run-inference-node', '--config', 'node.toml']) }
}
