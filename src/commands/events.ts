import { defineCommand } from 'citty'
import * as v from 'valibot'
import { RestError } from '../lib/rest-client.js'
import { oneLine } from '../lib/table.js'
import { feedQuery } from '../wire/watch-events.js'
import { describeEvent, eventLine, readFeedEvent } from './feed/describe.js'
import { followFeed } from './feed/follow-feed.js'
import { givenFlags } from './paged-list.js'
import { parseFlags, refuseMore, serviceArgs, serviceAt, serviceUrls } from './service-call.js'
import { readToken } from './token.js'
import { untilHalted } from './until-halted.js'

const say = (line: string): void => void process.stderr.write(`stacks-signer: ${oneLine(line)}\n`)

export default defineCommand({
  meta: { name: 'events', description: 'Follow what happens in a service, a line for each event' },
  args: {
    types: {
      type: 'string',
      description: 'Which events: task, node, and tick, the figures of each second',
      default: 'task,node',
      valueHint: 'task,node',
    },
    model: { type: 'string', description: 'Only tasks of this model, by its full name', valueHint: 'llama-3-8b' },
    node: { type: 'string', description: 'Only of this node', valueHint: 'node-001' },
    ...serviceArgs,
    json: { type: 'boolean', description: 'Print each event as a line of JSON' },
  },
  async run({ args }) {
    refuseMore(args._, 0)
    const { types, model, node } = args
    const query = givenFlags({ types, model, node })
    parseFlags(feedQuery, query)
    // Says in its sentences what the feed cannot: that there is no service, or that it may not be watched.
    await serviceAt(args).get('/api/v1/overview', v.unknown())

    let lost = ''
    await untilHalted(async (halted) => {
      const refusal = await followFeed({
        urls: serviceUrls(args.url),
        token: readToken(args['token-file']),
        query,
        onOpen() {
          if (lost !== '') say('the feed goes on')
          lost = ''
        },
        onEvent(message) {
          const event = readFeedEvent(message)
          if (args.json === true) console.log(JSON.stringify(message))
          else if (event !== null) console.log(eventLine(describeEvent(event), Date.now()))
        },
        onLost(why, wait) {
          if (why !== lost) say(`${why}; trying again in ${Math.ceil(wait / 1000)} s, and after that`)
          lost = why
        },
        halted,
      })
      if (refusal !== null) throw new RestError(refusal)
    })
  },
})
