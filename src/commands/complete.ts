import { script } from '@bomb.sh/tab'
import { defineCommand } from 'citty'
import { ConfigError } from '../lib/config-error.js'
import { bashScript } from './complete/bash.js'
import { printCandidates, type Commands } from './complete/candidates.js'
import { refuseMore } from './service-call.js'

const NAME = 'stacks-signer'
const SHELLS = ['bash', 'zsh', 'fish', 'powershell']

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
    if (args.shell === 'bash') process.stdout.write(bashScript(NAME))
    else script(args.shell, NAME, NAME)
  },
})
