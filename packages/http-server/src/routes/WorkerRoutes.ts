/** Answers the routes of the registry with the use cases and queries of core. */
import * as WorkerQueries from "@muster/core/worker/WorkerQueries"
import * as WorkerUseCases from "@muster/core/worker/WorkerUseCases"
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Api } from "../contract/Api.ts"
import { heartbeatsPerPage, workersPerPage } from "../contract/WorkersApi.ts"
import * as CoreAnswers from "./CoreAnswers.ts"
import * as Stores from "./Stores.ts"

const listWorkers = Effect.fnUntraced(function* (query: {
  readonly status?: Parameters<typeof WorkerQueries.getWorkersByStatus>[0]
  readonly limit?: number
  readonly cursor?: Parameters<typeof WorkerQueries.getWorker>[0]
}) {
  const { cursor, limit = workersPerPage.fallback, status } = query
  // One more than asked for tells whether anything follows.
  const found = yield* WorkerQueries.getWorkersWithMetadata({ status, after: cursor, limit: limit + 1 })
  const workers = found.slice(0, limit)
  return { workers, next_cursor: found.length > limit ? (workers.at(-1)?.id ?? null) : null }
})

const asWorker = <W, E, R>(self: Effect.Effect<W, E, R>) => Effect.map(self, (worker) => ({ worker }))

export const layer = HttpApiBuilder.group(
  Api,
  "workers",
  Effect.fnUntraced(function* (handlers) {
    const withStores = yield* Stores.make
    const answered = yield* CoreAnswers.make
    return handlers.handleAll({
      register: ({ payload }) => WorkerUseCases.registerWorker(payload).pipe(asWorker, answered, withStores),
      update: ({ params, payload }) =>
        WorkerUseCases.updateWorker(params.id, payload).pipe(asWorker, answered, withStores),
      list: ({ query }) => listWorkers(query).pipe(answered, withStores),
      get: ({ params }) => WorkerQueries.getWorkerWithMetadata(params.id).pipe(asWorker, answered, withStores),
      unregister: ({ params }) => WorkerUseCases.unregisterWorker(params.id).pipe(answered, withStores),
      heartbeat: ({ params }) => WorkerUseCases.recordHeartbeat(params.id).pipe(Effect.as({}), answered, withStores),
      heartbeats: ({ params, query }) =>
        WorkerQueries.getHeartbeatHistory(params.id, query.limit ?? heartbeatsPerPage.fallback).pipe(
          Effect.map((heartbeats) => ({ heartbeats })),
          answered,
          withStores
        ),
      setStatus: ({ params, payload }) =>
        WorkerUseCases.updateWorkerStatus(params.id, payload.status).pipe(asWorker, answered, withStores),
      pause: ({ params }) => WorkerUseCases.pauseWorker(params.id).pipe(asWorker, answered, withStores),
      drain: ({ params, payload }) =>
        WorkerUseCases.drainWorker(params.id, { jobs: payload?.jobs ?? "finish" }).pipe(asWorker, answered, withStores),
      resume: ({ params }) => WorkerUseCases.resumeWorker(params.id).pipe(asWorker, answered, withStores)
    })
  })
)
