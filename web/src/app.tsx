import { useCallback, useEffect, useErrorBoundary, useState } from 'preact/hooks'
import lazy from 'preact-iso/lazy'
import { LocationProvider, Route, Router, useLocation } from 'preact-iso/router'
import { findAccess, isAsked, role } from './state/access.js'
import { reached } from './state/api.js'
import { readFeed } from './state/feed.js'
import { kiosk } from './state/settings.js'
import { Dialog } from './parts/dialog.js'
import { Down, Header, openViews } from './parts/header.js'
import { chords, useKeys } from './parts/keys.js'
import { Empty } from './parts/notes.js'
import { paths } from './parts/paths.js'
import { SignIn } from './parts/sign-in.js'
import { OverviewView } from './views/overview.js'
import { words } from './words/index.js'

/** What the first view does not need is loaded after it. */
const later = {
  tasks: () => import('./views/tasks.js').then(({ TasksView }) => TasksView),
  task: () => import('./views/task.js').then(({ TaskView }) => TaskView),
  nodes: () => import('./views/nodes.js').then(({ NodesView }) => NodesView),
  node: () => import('./views/node.js').then(({ NodeView }) => NodeView),
  fleet: () => import('./views/fleet.js').then(({ FleetView }) => FleetView),
  feed: () => import('./views/feed.js').then(({ FeedView }) => FeedView),
  health: () => import('./views/health.js').then(({ HealthView }) => HealthView),
}
const TasksView = lazy(later.tasks)
const TaskView = lazy(later.task)
const NodesView = lazy(later.nodes)
const NodeView = lazy(later.node)
const FleetView = lazy(later.fleet)
const FeedView = lazy(later.feed)
const HealthView = lazy(later.health)
/** So long after the page has begun to look, ms: a view has to be there when the service no longer is. */
const LATER_MS = 300

/** How often a service that is not there is looked for, before it has answered for the first time, ms. */
const LOOK_MS = 1500

function Nowhere() {
  const t = words.value
  return (
    <main id="main">
      <h1>{t.brand}</h1>
      <Empty title={t.nowhere.title}>
        <a href={paths.overview}>{t.nowhere.back}</a>
      </Empty>
    </main>
  )
}

/** The first view; for who may not see it, the first that he may. */
function First() {
  const t = words.value
  const { route } = useLocation()
  const [first] = openViews()
  useEffect(() => {
    if (first !== undefined && first !== 'overview') route(paths[first], true)
  }, [first])
  if (first === 'overview') return <OverviewView />
  return (
    <main id="main">
      <h1>{t.brand}</h1>
      {first === undefined && (
        <Empty
          title={t.nowhere.role}
          command="npx stacks-signer tokens create --role viewer --name dashboard --config ./config/signer.toml"
        >
          {t.nowhere.roleWhy}
        </Empty>
      )}
    </main>
  )
}

function Views() {
  return (
    <Router>
      <Route path="/dashboard" component={First} />
      <Route path="/dashboard/tasks" component={TasksView} />
      <Route path="/dashboard/tasks/:id" component={TaskView} />
      <Route path="/dashboard/nodes" component={NodesView} />
      <Route path="/dashboard/nodes/:id" component={NodeView} />
      <Route path="/dashboard/fleet" component={FleetView} />
      <Route path="/dashboard/feed" component={FeedView} />
      <Route path="/dashboard/health" component={HealthView} />
      <Route default component={Nowhere} />
    </Router>
  )
}

function Help({ onClose }: { onClose: () => void }) {
  const t = words.value
  return (
    <Dialog title={t.help.title} onClose={onClose}>
      <dl class="facts">
        <div>
          <dt>
            <kbd>/</kbd>
          </dt>
          <dd>{t.help.search}</dd>
        </div>
        {Object.entries(chords).map(([key, view]) => (
          <div key={key}>
            <dt>
              <kbd>g</kbd> <kbd>{key}</kbd>
            </dt>
            <dd>{t.nav[view as keyof typeof t.nav]}</dd>
          </div>
        ))}
        <div>
          <dt>
            <code>?kiosk=1</code>
          </dt>
          <dd>{t.help.kiosk}</dd>
        </div>
      </dl>
      <form method="dialog">
        <button type="submit" class="primary">
          {t.close}
        </button>
      </form>
    </Dialog>
  )
}

function Page() {
  const t = words.value
  const [hasHelp, setHelp] = useState(false)
  const help = useCallback(() => setHelp(true), [])
  const [error, forget] = useErrorBoundary() as [unknown, () => void]
  useKeys(help)
  useEffect(() => {
    document.title = t.brand
  }, [t])
  const isKnown = isAsked.value !== null
  return (
    <>
      <a class="skip" href="#main">
        {t.skip}
      </a>
      {!kiosk.value && <Header onHelp={help} />}
      <Down />
      {error !== undefined ? (
        <main id="main">
          <h1>{t.brand}</h1>
          <Empty title={t.broken}>
            {error instanceof Error ? error.message : ''}{' '}
            <button type="button" onClick={forget}>
              {t.again}
            </button>
          </Empty>
        </main>
      ) : !isKnown ? (
        <main id="main">
          <p class="quiet">{t.loading}</p>
        </main>
      ) : role.value === null ? (
        <SignIn />
      ) : (
        <Views />
      )}
      {hasHelp && <Help onClose={() => setHelp(false)} />}
    </>
  )
}

export function App() {
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined
    let stop = (): void => undefined
    let gone = false
    const look = async (): Promise<void> => {
      const isThere = await findAccess()
      if (gone) return
      reached(isThere)
      if (isThere) {
        stop = readFeed()
        timer = setTimeout(() => {
          // What could not be loaded is loaded when it is opened.
          for (const load of Object.values(later)) load().catch(() => undefined)
        }, LATER_MS)
      } else timer = setTimeout(() => void look(), LOOK_MS)
    }
    void look()
    return () => {
      gone = true
      clearTimeout(timer)
      stop()
    }
  }, [])
  return (
    <LocationProvider scope="/dashboard">
      <Page />
    </LocationProvider>
  )
}
