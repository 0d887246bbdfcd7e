/**
 * The checks that move workers between states, and the fibers that run them and look after the registry. Any number of servers may run them at
 * once: each check is one conditional statement, so a worker changes state once. Source: document 004.
 */
import { Duration, Effect, Layer } from "effect"
import { recurring } from "../Recurring.ts"
import { HeartbeatStore } from "./internal/HeartbeatStore.ts"
import { RegistrySettings } from "./RegistrySettings.ts"
import type { WorkerId } from "./Worker.ts"
import * as WorkerStandings from "./WorkerStandings.ts"
import * as WorkerUseCases from "./WorkerUseCases.ts"

const logMoved = (ids: ReadonlyArray<WorkerId>, what: string) =>
  ids.length === 0
    ? Effect.void
    : Effect.logInfo(`${ids.length} worker${ids.length === 1 ? "" : "s"} ${what}`).pipe(
        Effect.annotateLogs({ workers: ids.slice(0, 20).join(" ") })
      )

/** Pending workers with a heartbeat become active. */
export const activationCheck = WorkerUseCases.activatePendingWorkers().pipe(
  Effect.tap((ids) => logMoved(ids, "became active"))
)

/** Active workers gone silent become offline. */
export const staleCheck = Effect.gen(function* () {
  const { heartbeatTimeout } = yield* RegistrySettings
  const ids = yield* WorkerUseCases.markStaleWorkersOffline(heartbeatTimeout)
  yield* logMoved(ids, "went offline")
  return ids
})

/** Offline workers heard again become active. */
export const reactivationCheck = Effect.gen(function* () {
  const { heartbeatTimeout } = yield* RegistrySettings
  const ids = yield* WorkerUseCases.reactivateOfflineWorkers(heartbeatTimeout)
  yield* logMoved(ids, "came back")
  return ids
})

/** Runs the three checks once, in the order a worker passes through them. */
export const runAllChecks = Effect.gen(function* () {
  const activated = yield* activationCheck
  const markedOffline = yield* staleCheck
  const reactivated = yield* reactivationCheck
  return { activated, markedOffline, reactivated }
})

const pruneHeartbeats = Effect.gen(function* () {
  const { heartbeatHistory } = yield* RegistrySettings
  const heartbeats = yield* HeartbeatStore
  yield* heartbeats.prune(heartbeatHistory)
})

/** How long the queue may differ from the registry in who may claim, after one of them was away. */
const standingsInterval = Duration.seconds(30)

/** The queue follows the registry in who may claim. */
const standingsCheck = WorkerStandings.reconcile.pipe(Effect.tap((ids) => logMoved(ids, "stand anew in the queue")))

/**
 * Starts the three fibers, the one that bounds the history, and the one by which the queue follows the registry, for as
 * long as the surrounding scope.
 */
export const startScheduledJobs = Effect.gen(function* () {
  const { activationInterval, reactivationInterval, staleInterval } = yield* RegistrySettings
  yield* recurring("activation", activationInterval, activationCheck)
  yield* recurring("stale-detection", staleInterval, staleCheck)
  yield* recurring("reactivation", reactivationInterval, reactivationCheck)
  yield* recurring("heartbeat-history", staleInterval, pruneHeartbeats)
  yield* recurring("worker-standings", standingsInterval, standingsCheck)
})

export const layer = Layer.effectDiscard(startScheduledJobs)
