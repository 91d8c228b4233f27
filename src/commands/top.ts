import { defineCommand } from 'citty'
import { ConfigError } from '../lib/config-error.js'
import { shownAddress } from '../lib/connection-error.js'
import { refuseMore, serviceArgs, serviceAt, serviceUrls } from './service-call.js'
import { readToken } from './token.js'
import { overviewSchema } from './top/answers.js'
import { showInteractive } from './top/interactive.js'
import { printForEver, printOnce } from './top/plain.js'
import { untilHalted } from './until-halted.js'

/** Whether the terminal can be drawn on, and keys be read from it. */
const isInteractive = (): boolean => process.stdin.isTTY && process.stdout.isTTY && process.env['TERM'] !== 'dumb'

export default defineCommand({
  meta: { name: 'top', description: 'Watch a service in the terminal: queues, models, nodes and what happens' },
  args: {
    once: { type: 'boolean', description: 'Print how it stands now, and end' },
    color: {
      type: 'boolean',
      default: true,
      description: 'Colours on a terminal',
      negativeDescription: 'No colours; so does the environment variable NO_COLOR',
    },
    ...serviceArgs,
    json: { type: 'boolean', description: 'With --once: print overview, models and nodes as JSON' },
  },
  async run({ args }) {
    refuseMore(args._, 0)
    if (args.json === true && args.once !== true)
      throw new ConfigError('--json: goes with --once; stacks-signer events --json prints what happens, as it happens')
    const service = serviceAt(args)
    if (args.once === true) return printOnce(service, args.json === true)
    // Says in its sentences what the feed cannot: that there is no service, or that it may not be watched.
    await service.get('/api/v1/overview', overviewSchema)
    const urls = serviceUrls(args.url)
    const token = readToken(args['token-file'])
    if (!isInteractive()) return untilHalted((halted) => printForEver(urls, token, halted))
    const isColoured = args.color && (process.env['NO_COLOR'] ?? '') === ''
    await showInteractive({ urls, shown: urls.map(shownAddress).join(', '), token, isColoured })
  },
})
