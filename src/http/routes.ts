import { Hono, type Handler } from 'hono'
import type * as v from 'valibot'
import type { BodyOf, DataOf, QueryOf, Route } from '../contract/route.js'
import { isTaskRoute, openPath } from '../contract/routes.js'
import type { Scheduler } from '../core/engine/scheduler.js'
import type { Operation, Results } from '../core/operations.js'
import { done, refuse, type Outcome } from '../lib/result.js'
import { cut, fail, ok, refused, type RouteContext } from './answers.js'
import { parse, parseBody } from './body.js'
import type { Exchange } from './exchange.js'
import { createIgnoredQuery } from './ignored-query.js'
import { pathId } from './paths.js'
import { receiveBody } from './receive.js'

type MaybePromise<T> = T | Promise<T>

/** The routes as hono has them: what they are given is an exchange. */
export type App = Hono<{ Bindings: Exchange }>
type RouteHandler = Handler<{ Bindings: Exchange }>

/** An operation, as a route asks for it: who asks is added. */
export type Ask = <O extends Operation>(exchange: Exchange, operation: O) => Promise<Outcome<Results[O['op']]>>
export const createAsk =
  (call: Scheduler['call']): Ask =>
  <O extends Operation>({ by, keys }: Exchange, operation: O) =>
    call<O>({ ...operation, by }, keys)

/** A route by its method. */
type Get = Route & { readonly method: 'GET' }
type Post = Route & { readonly method: 'POST'; readonly body: v.GenericSchema }
/** One without a body that changes something named in its path. */
type Command = Route & { readonly method: 'POST' | 'DELETE'; readonly body?: undefined }

export type Routes = ReturnType<typeof createRoutes>

/** The kinds of routes there are: every one parses its input once and calls the core; only here outcomes become HTTP. */
export function createRoutes() {
  const app: App = new Hono()
  const methods = new Map<string, string[]>()
  /** Serves a route of the contract, and no other. */
  const serve = ({ method, path, query }: Route, more: string[], handler: RouteHandler): void => {
    methods.set(path, [...(methods.get(path) ?? []), method, ...more])
    const tellIgnored = isTaskRoute(path) ? createIgnoredQuery(query) : null
    const route = openPath(path)
    app.on(method, path, (c, next) => {
      c.env.route = route
      tellIgnored?.(c.env)
      return handler(c, next) as MaybePromise<Response>
    })
  }
  const queryOf = <R extends Route>({ query }: R, c: RouteContext): Outcome<QueryOf<R>> =>
    (query === undefined ? done(undefined) : parse(query, c.req.query())) as Outcome<QueryOf<R>>
  const answer = (c: RouteContext, outcome: Outcome<unknown>): Response =>
    outcome.ok ? ok(c, outcome.value) : refused(c, outcome)

  /** A route with a body that answers in its own way. @param most bytes of its body */
  const receive = <R extends Post>(
    route: R,
    most: number,
    handle: (body: BodyOf<R>, c: RouteContext, query: QueryOf<R>) => Promise<Response>,
  ): void =>
    serve(route, [], async (c) => {
      const pieces = await receiveBody(c.env, most)
      if (!pieces.ok) return cut(c, pieces)
      const query = queryOf(route, c)
      if (!query.ok) return fail(c, query)
      const json = await parseBody(c.env, pieces.value)
      const body = json.ok ? parse(route.body, json.value) : json
      return body.ok ? handle(body.value as BodyOf<R>, c, query.value) : refused(c, body)
    })

  return {
    app,
    answer,
    receive,
    get<R extends Get>(route: R, handle: (c: RouteContext, query: QueryOf<R>) => MaybePromise<Response>): void {
      serve(route, ['HEAD'], (c) => {
        const query = queryOf(route, c)
        return query.ok ? handle(c, query.value) : fail(c, query)
      })
    },
    /** A route that changes something by being read: to ask for its headers only is not to read it. It parses its own query. */
    getOnly(route: Get, handle: (c: RouteContext) => Promise<Response>): void {
      serve(route, [], (c, next) => (c.req.method === 'HEAD' ? next() : handle(c)))
    },
    /** A route with a body: what it answers is the core's word, or its own. */
    post<R extends Post>(
      route: R,
      most: number,
      handle: (body: BodyOf<R>, exchange: Exchange, query: QueryOf<R>) => Promise<Outcome<DataOf<R>>>,
    ): void {
      receive(route, most, async (body, c, query) => answer(c, await handle(body, c.env, query)))
    },
    /** A route with a body about what is named in its path, as in `/api/v1/nodes/:node_id/ban`. */
    postAbout<R extends Post>(
      route: R,
      most: number,
      handle: (subject: string, body: BodyOf<R>, exchange: Exchange) => Promise<Outcome<DataOf<R>>>,
    ): void {
      const { name, place } = subjectOf(route)
      receive(route, most, async (body, c) => {
        const subject = pathId(c.req.url, name, place)
        return answer(c, subject.ok ? await handle(subject.value, body, c.env) : subject)
      })
    },
    command<R extends Command>(
      route: R,
      run: (subject: string, exchange: Exchange) => Promise<Outcome<DataOf<R>>>,
    ): void {
      const { name, place } = subjectOf(route)
      serve(route, [], async (c) => {
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

/** What the path of a route names, and where in it, from the end. */
function subjectOf({ path }: Route): { name: string; place: number } {
  const segments = openPath(path).split('/')
  const at = segments.findIndex((s) => s.startsWith('{'))
  return { name: segments[at]?.slice(1, -1) ?? '', place: at - segments.length }
}

/** What is said of an outcome that has nothing to show. */
export const said = async (outcome: Promise<Outcome<unknown>>, text: string): Promise<Outcome<string>> => {
  const o = await outcome
  return o.ok ? done(text) : o
}
