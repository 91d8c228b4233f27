import { Hono, type Handler } from 'hono'
import type * as v from 'valibot'
import type { Scheduler } from '../core/engine/scheduler.js'
import type { Operation, Results } from '../core/operations.js'
import { done, refuse, type Outcome } from '../lib/result.js'
import { cut, fail, ok, refused, type RouteContext } from './answers.js'
import { parse, parseBody } from './body.js'
import type { Exchange } from './exchange.js'
import { pathId } from './paths.js'
import { receiveBody } from './receive.js'

/** The routes as hono has them: what they are given is an exchange. */
export type App = Hono<{ Bindings: Exchange }>
type RouteHandler = Handler<{ Bindings: Exchange }>

/** An operation, as a route asks for it: who asks is added. */
export type Ask = <O extends Operation>(exchange: Exchange, operation: O) => Promise<Outcome<Results[O['op']]>>
export const createAsk =
  (call: Scheduler['call']): Ask =>
  <O extends Operation>({ by, keys }: Exchange, operation: O) =>
    call<O>({ ...operation, by }, keys)

/** A command: a route without a body that changes something named in its path. */
export interface Command {
  method: 'POST' | 'DELETE'
  path: string
  /** What its path names, and where in it, from the end. */
  name: string
  place?: number
  run(subject: string, exchange: Exchange): Promise<Outcome<unknown>>
}

export type Routes = ReturnType<typeof createRoutes>

/** The kinds of routes there are: every one parses its input once and calls the core; only here outcomes become HTTP. */
export function createRoutes() {
  const app: App = new Hono()
  const methods = new Map<string, string[]>()
  const allow = (path: string, more: string[]): void => {
    methods.set(path, [...(methods.get(path) ?? []), ...more])
  }
  const answer = (c: RouteContext, outcome: Outcome<unknown>): Response =>
    outcome.ok ? ok(c, outcome.value) : refused(c, outcome)

  /** A route with a body that answers in its own way. */
  const receive = <S extends v.GenericSchema>(
    path: string,
    most: number,
    schema: S,
    handle: (body: v.InferOutput<S>, c: RouteContext) => Promise<Response>,
  ): void => {
    allow(path, ['POST'])
    app.post(path, async (c) => {
      const pieces = await receiveBody(c.env, most)
      if (!pieces.ok) return cut(c, pieces)
      const json = await parseBody(c.env, pieces.value)
      const body = json.ok ? parse(schema, json.value) : json
      return body.ok ? handle(body.value, c) : refused(c, body)
    })
  }

  return {
    app,
    answer,
    receive,
    get(path: string, handler: RouteHandler): void {
      allow(path, ['GET', 'HEAD'])
      app.get(path, handler)
    },
    /** A route that changes something by being read: to ask for its headers only is not to read it. */
    getOnly(path: string, handler: (c: RouteContext) => Promise<Response>): void {
      allow(path, ['GET'])
      app.get(path, (c, next) => (c.req.method === 'HEAD' ? next() : handler(c)))
    },
    /** A route with a body: what it answers is the core's word, or its own. */
    post<S extends v.GenericSchema>(
      path: string,
      most: number,
      schema: S,
      handle: (body: v.InferOutput<S>, exchange: Exchange) => Promise<Outcome<unknown>>,
    ): void {
      receive(path, most, schema, async (body, c) => answer(c, await handle(body, c.env)))
    },
    /** A route with a body about what is named in its path, as in `/api/v1/nodes/:node_id/ban`. */
    postAbout<S extends v.GenericSchema>(
      path: string,
      most: number,
      schema: S,
      handle: (subject: string, body: v.InferOutput<S>, exchange: Exchange) => Promise<Outcome<unknown>>,
    ): void {
      receive(path, most, schema, async (body, c) => {
        const subject = pathId(c.req.url, 'id')
        return answer(c, subject.ok ? await handle(subject.value, body, c.env) : subject)
      })
    },
    command({ method, path, name, place = -2, run }: Command): void {
      allow(path, [method])
      app.on(method, path, async (c) => {
        const subject = pathId(c.req.url, name, place)
        return answer(c, subject.ok ? await run(subject.value, c.env) : subject)
      })
    },
    /** After the last route: all other methods of each are refused. */
    end(): void {
      // A name before a parameter in its place.
      const named = [...methods].sort(([a], [b]) => Number(a.includes(':')) - Number(b.includes(':')))
      for (const [path, allowed] of named) {
        app.all(path, (c) =>
          fail(c, refuse('method_not_allowed', `${c.req.method} is not allowed here; use ${allowed.join(' or ')}`), {
            headers: { Allow: allowed.join(', ') },
          }),
        )
      }
    },
  }
}

/** What is said of an outcome that has nothing to show. */
export const said = async (outcome: Promise<Outcome<unknown>>, text: string): Promise<Outcome<unknown>> => {
  const o = await outcome
  return o.ok ? done(text) : o
}
