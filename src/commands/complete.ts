import { script } from '@bomb.sh/tab'
import { defineCommand } from 'citty'
import { ConfigError } from '../lib/config-error.js'
import { bashScript } from './complete/bash.js'
import { printCandidates, type Commands } from './complete/candidates.js'
import { refuseMore } from './service-call.js'

const NAME = 'stacks-signer'
const SHELLS = ['bash', 'zsh', 'fish', 'powershell']

/** What @bomb.sh/tab prints for a shell. Its script for zsh takes what follows a ":" in a name for a description: a "\" is missing. */
function scriptOf(shell: string): string {
  let printed = ''
  const { log } = console
  console.log = (text: string) => void (printed += `${text}\n`)
  try {
    script(shell, NAME, NAME)
  } finally {
    console.log = log
  }
  return printed.replace('comp=${comp//:/\\:}', () => 'comp=${comp//:/\\\\:}')
}

export default defineCommand({
  meta: { name: 'complete', description: 'Print what makes a shell complete commands, flags, names and ids' },
  args: {
    shell: { type: 'positional', description: 'bash, zsh, fish or powershell', required: false, valueHint: 'SHELL' },
  },
  async run({ args, rawArgs, data }) {
    // As the scripts call it: behind -- is what has been typed.
    if (rawArgs[0] === '--') return printCandidates(data as Commands, rawArgs.slice(1))
    refuseMore(args._, 1)
    if (args.shell === undefined || !SHELLS.includes(args.shell))
      throw new ConfigError(
        `say for which shell, one of ${SHELLS.join(', ')}; for example: source <(${NAME} complete bash)`,
      )
    process.stdout.write(args.shell === 'bash' ? bashScript(NAME) : scriptOf(args.shell))
  },
})
