/**
 * Counts requests by the template of their route, never by what its parameters were, and times them. It stands before
 * every request, thousands a second of which are heartbeats: it makes no span, and no effect but one.
 */
import * as MetricSources from "@muster/core/diagnosis/MetricSources"
import { Context, Effect, Metric } from "effect"
import { HttpRouter, HttpServerRequest, type HttpServerResponse } from "effect/http"

/** From a heartbeat's millisecond to the longest a request may wait. */
const boundaries = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

/** Of one method, route and class of status. Their labels are part of them, so that counting looks nothing up. */
const metricsFor = (method: string, route: string, status: string) => ({
  count: Metric.counter("muster_http_requests_total", {
    description: "Requests answered, by route and class of status",
    attributes: { method, route, status },
    incremental: true
  }),
  time: Metric.histogram("muster_http_request_duration_seconds", {
    description: "Time until a request was answered; of a stream, until it began",
    attributes: { method, route },
    boundaries
  })
})

/** Requests that no route took: refused at the door, or for a path there is not. */
const unrouted = "none"

const methods = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])

type Handled<E, R> = Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>

/** Makes the middleware, whose metrics are a source for as long as the scope. */
export const make = Effect.gen(function* () {
  const registry: Metric.MetricRegistry = new Map()
  const context = Context.make(Metric.MetricRegistry, registry)
  yield* MetricSources.contribute(Effect.succeed(registry))

  /** As many as routes, methods and classes of status. */
  const known = new Map<string, ReturnType<typeof metricsFor>>()
  const metricsOf = (method: string, route: string, status: string) => {
    const key = `${method} ${route} ${status}`
    const found = known.get(key)
    if (found !== undefined) return found
    const made = metricsFor(method, route, status)
    known.set(key, made)
    return made
  }

  return <E, R>(handled: Handled<E, R>): Handled<E, R> =>
    Effect.suspend(() => {
      const began = performance.now()
      return Effect.flatMap(handled, (response) =>
        Effect.withFiber((fiber) => {
          // The router leaves the route it found in the context of the request.
          const now = fiber.context as Context.Context<HttpServerRequest.HttpServerRequest>
          const { method } = Context.get(now, HttpServerRequest.HttpServerRequest)
          const route = Context.getOrUndefined(now, HttpRouter.RouteContext)?.route.path ?? unrouted
          const shown = methods.has(method) ? method : "other"
          const { count, time } = metricsOf(shown, route, `${Math.floor(response.status / 100)}xx`)
          count.updateUnsafe(1, context)
          time.updateUnsafe((performance.now() - began) / 1_000, context)
          return Effect.succeed(response)
        })
      )
    })
})
