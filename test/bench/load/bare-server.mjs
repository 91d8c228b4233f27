// The least that hono does for a poll with nothing to do: the ceiling that ours is compared with.
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { serveCalls } from '../lib/children.mjs'

const app = new Hono()
app.get('/api/v1/nodes/:id/tasks', (c) => c.body(null, 204))
serveCalls({
  listen: () =>
    new Promise((done) =>
      serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 }, ({ port }) => done(`http://127.0.0.1:${port}`)),
    ),
})
