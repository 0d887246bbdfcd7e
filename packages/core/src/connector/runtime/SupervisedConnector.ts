/**
 * One connector under supervision: it is started, started again when that fails, and asked every few seconds whether its
 * service could take a job. Only while it could are its job types offered. One whose service wants to be left alone for a
 * while is given no jobs meanwhile: they wait in the queue, instead of being taken and handed back one after the other.
 */
import { Clock, DateTime, Deferred, Duration, Effect, Exit, Metric, Random, type Scope, Semaphore } from "effect"
import type { InvalidConfiguration } from "../../worker/WorkerErrors.ts"
import type { Connector, ConnectorServices, Offer, RunningConnector } from "../Connector.ts"
import { ConnectorFailure } from "../ConnectorFailure.ts"
import type { ConnectorReport } from "../ConnectorReport.ts"
import * as Secrets from "./Secrets.ts"

const healthEvery = Duration.seconds(10)
const healthWithin = Duration.seconds(5)
/** After so many looks at a service that is well it is asked anew what it has: every five minutes. */
const looksPerOffer = 30
/** A list of everything a service has may be long. */
const offerWithin = Duration.seconds(30)
/** How long one try to start may take. */
const acquiredWithin = Duration.minutes(1)
/** Failed looks in a row after which a service that was well is taken for ill: one may be a hiccup. */
const strikes = 2
/** How long a worker waits for its connectors before it goes on without those that are slow. */
const startWithin = Duration.seconds(10)
const firstPause = Duration.seconds(1)
const longestPause = Duration.minutes(1)
const longestReason = 500
/** How long a service is left alone that does not say for how long; and one that says too much. */
const usualRest = Duration.seconds(5)
const longestRest = Duration.hours(1)

const outcomes = Metric.counter("muster_connector_jobs_total", {
  description: "Attempts a connector has run, by how they ended",
  incremental: true
})
const durations = Metric.timer("muster_connector_job_duration", { description: "Time a connector took for an attempt" })

export interface SupervisedConnector {
  readonly name: string
  readonly job_types: ReadonlyArray<string>
  readonly report: () => ConnectorReport
  /** Jobs it could be given now; 0 while it takes none. */
  readonly free: () => number
  /** Counts a job as given to it, from before it is begun, until the returned function is called. */
  readonly take: () => () => void
  /** What its service was last found to have. */
  readonly offer: () => Offer
  /** Runs a job, as soon as fewer run than it may run at once: one that does not stop when told keeps its place. */
  readonly process: RunningConnector["process"]
}

export interface SupervisedOptions {
  readonly connector: Connector
  readonly settings: Readonly<Record<string, string>>
  /** The job types that lead to it. */
  readonly job_types: ReadonlyArray<string>
  /** Called when it begins or ceases to take jobs, for whatever reason, and when its offer changes. */
  readonly changed: () => void
}

const wordsOf = (failure: Pick<ConnectorFailure, "kind" | "message">): string =>
  `${failure.kind}: ${failure.message}`.slice(0, longestReason)

const within =
  (duration: Duration.Duration, what: string) =>
  <A, E, R>(self: Effect.Effect<A, E, R>) =>
    Effect.timeoutOrElse(self, {
      duration,
      orElse: () =>
        Effect.fail(new ConnectorFailure({ kind: "Timeout", message: `${what} within ${Duration.format(duration)}` }))
    })

const crashed = (defect: unknown) =>
  new ConnectorFailure({ kind: "ProtocolError", message: `the connector crashed: ${String(defect)}` })

/** Spread, so that a fleet does not ask a service that came back in one wave. */
const jittered = (duration: Duration.Duration) =>
  Effect.map(Random.next, (random) => Duration.millis(Duration.toMillis(duration) * (0.8 + 0.4 * random)))

/**
 * Supervises a connector for as long as the scope. Waits some seconds for its start; what is slower goes on behind, and
 * only settings that are wrong fail.
 */
export const make = Effect.fnUntraced(function* (
  options: SupervisedOptions
): Effect.fn.Return<SupervisedConnector, InvalidConfiguration, Scope.Scope | ConnectorServices> {
  const { changed, connector, job_types, settings } = options
  let running: RunningConnector | undefined
  let isWell = false
  let hasStarted = false
  let stopped = false
  let since = DateTime.makeUnsafe(yield* Clock.currentTimeMillis)
  let reason: string | null = null
  let offer: Offer = {}
  let active = 0
  let slots = yield* Semaphore.make(Number.MAX_SAFE_INTEGER)
  /** Attempts that are really in it: more than it was given while one of them does not stop. */
  let inside = 0
  /** Why it is given nothing until then, in ms, although its service is well. */
  let rest: { readonly until: number; readonly since: DateTime.Utc; readonly reason: string } | undefined
  const scope = yield* Effect.scope
  const hide = Secrets.hiding(settings)

  const become = (well: boolean, why: string | null) =>
    Effect.gen(function* () {
      const before = isWell
      const told = reason
      isWell = well
      hasStarted = true
      reason = why === null ? null : hide(why)
      if (before === well && told === reason) return
      if (before !== well) since = DateTime.makeUnsafe(yield* Clock.currentTimeMillis)
      if (before !== well || told === null) {
        yield* well
          ? Effect.logInfo("connector takes jobs")
          : Effect.logWarning(`connector takes no jobs: ${reason ?? "unknown"}`)
      }
      changed()
    })

  const look = (up: RunningConnector) => within(healthWithin, "its health was not told")(up.health)

  const refreshOffer = (up: RunningConnector) =>
    up.offer === undefined
      ? Effect.void
      : Effect.flatMap(within(offerWithin, "it did not tell what it has")(up.offer), (found) =>
          Effect.sync(() => {
            if (JSON.stringify(found) === JSON.stringify(offer)) return
            offer = found
            changed()
          })
        )

  const watch = (up: RunningConnector, onFirst: Effect.Effect<void>) =>
    Effect.gen(function* () {
      let failed = strikes
      let looks = 0
      while (true) {
        // Without an offer it is not offered; with one, an old offer is better than none.
        const isDue = ++looks % looksPerOffer === 0
        const renewed = isDue ? Effect.ignore(refreshOffer(up), { log: "Debug" }) : Effect.void
        const exit = yield* Effect.result(Effect.andThen(look(up), isWell ? renewed : refreshOffer(up)))
        if (exit._tag === "Success") {
          failed = 0
          yield* become(true, null)
        } else if (++failed >= strikes) {
          yield* become(false, wordsOf(exit.failure))
        }
        yield* onFirst
        yield* Effect.sleep(yield* jittered(healthEvery))
      }
    })

  const first = yield* Deferred.make<void, InvalidConfiguration>()
  const ready = Effect.asVoid(Deferred.succeed(first, undefined))

  const supervise = Effect.gen(function* () {
    let pause = firstPause
    while (true) {
      const failure = yield* Effect.scoped(
        Effect.gen(function* () {
          const up = yield* within(acquiredWithin, "it could not be started")(connector.acquire(settings))
          running = up
          slots = yield* Semaphore.make(up.max_concurrent_jobs ?? Number.MAX_SAFE_INTEGER)
          pause = firstPause
          return yield* watch(up, ready)
        })
      ).pipe(
        Effect.catchDefect((defect) => Effect.fail(crashed(defect))),
        Effect.flip
      )
      running = undefined
      if (failure._tag === "InvalidConfiguration") {
        yield* become(false, failure.message.slice(0, longestReason))
        yield* Deferred.fail(first, failure)
        return
      }
      yield* become(false, wordsOf(failure))
      yield* ready
      yield* Effect.sleep(yield* jittered(pause))
      pause = Duration.min(Duration.times(pause, 2), longestPause)
    }
  }).pipe(Effect.annotateLogs({ connector: connector.name }))

  yield* Effect.forkScoped(supervise)
  yield* Effect.addFinalizer(() => Effect.sync(() => void (stopped = true)))
  yield* Effect.timeoutOption(Deferred.await(first), startWithin)

  const takesJobs = () => isWell && rest === undefined

  const status = (): ConnectorReport["status"] => {
    if (stopped) return "offline"
    if (takesJobs()) return active > 0 ? "active" : "idle"
    return hasStarted ? "error" : "starting"
  }

  const free = () =>
    takesJobs() ? Math.max(0, (running?.max_concurrent_jobs ?? Number.MAX_SAFE_INTEGER) - Math.max(active, inside)) : 0

  /** Something that changes what is free; only the last free slot is worth telling of. */
  const changing = (change: () => void) => {
    const had = free() > 0
    change()
    if (had !== free() > 0) changed()
  }

  const count = (difference: 1 | -1) => changing(() => (active += difference))

  const awake: Effect.Effect<void> = Effect.flatMap(Clock.currentTimeMillis, (now) => {
    if (rest === undefined) return Effect.void
    if (rest.until > now) return Effect.andThen(Effect.sleep(Duration.millis(rest.until - now)), awake)
    return Effect.andThen(
      Effect.logInfo("connector takes jobs again"),
      Effect.sync(() => changing(() => (rest = undefined)))
    )
  })

  /** Leaves the service alone for as long as it wants. */
  const restFor = Effect.fnUntraced(function* (failure: ConnectorFailure) {
    const now = yield* Clock.currentTimeMillis
    const asked = failure.retry_after_ms === undefined ? usualRest : Duration.millis(failure.retry_after_ms)
    const until = now + Duration.toMillis(Duration.min(asked, longestRest))
    if (until <= (rest?.until ?? now)) return
    const isNew = rest === undefined
    changing(() => (rest = { until, since: rest?.since ?? DateTime.makeUnsafe(now), reason: wordsOf(failure) }))
    if (!isNew) return
    yield* Effect.logWarning(
      `connector takes no jobs for ${Duration.format(Duration.millis(until - now))}: ${rest?.reason}`
    )
    yield* Effect.forkIn(Effect.annotateLogs(awake, { connector: connector.name }), scope)
  })

  const take = () => {
    count(1)
    let taken = true
    return () => {
      if (taken) count(-1)
      taken = false
    }
  }

  const notUp = () =>
    new ConnectorFailure({
      kind: "ServiceUnavailable",
      message: `${connector.name} is not up${reason === null ? "" : `: ${reason}`}`
    })

  /** One attempt, in what is up now. */
  const attempt = (run: Effect.Effect<unknown, ConnectorFailure>) =>
    Effect.acquireUseRelease(
      Effect.sync(() => changing(() => inside++)),
      () => slots.withPermits(1)(run),
      () => Effect.sync(() => changing(() => inside--))
    )

  const process: RunningConnector["process"] = (job, report) =>
    Effect.suspend(() => {
      const up = running
      if (up === undefined) return Effect.fail(notUp())
      return attempt(Effect.suspend(() => up.process(job, report))).pipe(
        Effect.catchDefect((defect) => Effect.fail(crashed(defect))),
        // Connectors are written by others: what fails in another way has crashed, too.
        Effect.mapError((error: unknown) => (error instanceof ConnectorFailure ? error : crashed(error))),
        Effect.mapError((failure) => new ConnectorFailure({ ...failure, message: hide(failure.message) })),
        Effect.tapError((failure) => (failure.kind === "RateLimited" ? restFor(failure) : Effect.void)),
        Effect.trackDuration(Metric.withAttributes(durations, { connector: connector.name })),
        Effect.onExit((exit) => {
          const outcome = Exit.isSuccess(exit) ? "completed" : Exit.hasInterrupts(exit) ? "interrupted" : "failed"
          return Metric.update(Metric.withAttributes(outcomes, { connector: connector.name, outcome }), 1)
        })
      )
    })

  const reportOf = () => {
    const resting = isWell ? rest : undefined
    return {
      name: connector.name,
      status: status(),
      since: resting?.since ?? since,
      reason: resting?.reason ?? (isWell ? null : reason),
      job_types
    }
  }

  return { name: connector.name, job_types, report: reportOf, free, take, offer: () => offer, process }
})
