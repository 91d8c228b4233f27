import { openAiDefaults, openAiOptions } from '../../src/config.js'
import { createDoorAccess } from '../../src/door/access.js'
import { createFeedHub } from '../../src/door/feed-hub.js'
import { createWatchers } from '../../src/door/watchers.js'
import { systemTime } from '../../src/lib/clock.js'
import { silentLog } from '../../src/lib/log.js'

/** What doors have to know of who comes, where everybody may come. Loopback is counted, each address for itself, unless told otherwise. */
export const openDoors = (countLoopback = true) => ({
  watchers: createWatchers({ send: () => undefined, nextSession: () => 1, log: silentLog(), isGood: () => true }),
  feed: createFeedHub({ send: () => undefined, isGood: () => true }),
  configuration: { version: '', runtime: '', settings: [] },
  openai: openAiOptions(openAiDefaults(), undefined),
  ...createDoorAccess({
    exposure: {
      host: '127.0.0.1',
      publicHosts: [],
      trustedProxies: [],
      tls: false,
      authentication: 'auto',
      insecure: false,
      plainHttp: false,
    },
    countLoopback,
    legacyUnsigned: [],
    network: 'testnet',
    time: systemTime,
    log: silentLog(),
  }),
})
