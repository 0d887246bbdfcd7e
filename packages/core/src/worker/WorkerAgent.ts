/**
 * The life of a worker: it enrols under its stable id, beats, claims and runs jobs, and takes its leave.
 *
 * A worker that finds its id taken is a successor of one that died, or a twin of one that lives. It tells them apart
 * by waiting: a twin goes on beating, and is left alone; a dead one falls silent and is replaced.
 */
import { Clock, DateTime, Duration, Effect, Option, Queue } from "effect"
import { takesJobs } from "../connector/ConnectorReport.ts"
import * as JobRunner from "../connector/runner/JobRunner.ts"
import type { Offering } from "../connector/runtime/Offering.ts"
import { whileAway } from "../WhileAway.ts"
import { RegistryAccess, type RegistryUnreachable } from "./RegistryAccess.ts"
import { type Capabilities, fromRegistration, type WorkerRegistration } from "./Worker.ts"
import type { LiveTwin } from "./WorkerErrors.ts"

export interface AgentOptions extends Omit<JobRunner.RunnerOptions, "worker_id" | "capacity"> {
  readonly registration: Omit<WorkerRegistration, "capabilities"> & { readonly instance_id: string }
  readonly beatInterval: Duration.Duration
  /** Whether another instance, by its id, is known to have ended; say so only when it is certain. */
  readonly isGone?: ((instance: string) => boolean) | undefined
}

const isUnreachable = (error: { readonly _tag: string }): error is RegistryUnreachable =>
  error._tag === "RegistryUnreachable"

const untilReached = <A, E extends { readonly _tag: string; readonly message: string }, R>(
  self: Effect.Effect<A, E, R>
) =>
  self.pipe(
    Effect.tapError((error) =>
      isUnreachable(error) ? Effect.logWarning(`${error.message}; trying again`) : Effect.void
    ),
    Effect.retry({ while: isUnreachable, schedule: whileAway })
  )

/** What the registry is told when it knows the worker already. */
const updateOf = ({ offering, registration }: AgentOptions) => {
  const { capacity, instance_id, metadata, region } = registration
  return {
    region,
    capacity,
    capabilities: offering.whole(),
    connectors: offering.reports(),
    instance_id,
    ...(metadata === undefined ? {} : { metadata })
  }
}

/** Takes the place of a known worker of this id, as soon as its known instance has fallen silent. */
const succeed = Effect.fnUntraced(function* (options: AgentOptions) {
  const { beatInterval, isGone, registration } = options
  const registry = yield* RegistryAccess
  const { id } = registration
  const update = updateOf(options)
  let firstSeen: DateTime.Utc | undefined
  let gone: string | undefined

  const attempt = Effect.suspend(() => registry.update(id, gone === undefined ? update : { ...update, replaces: gone }))
  const judge = (twin: LiveTwin) =>
    Effect.gen(function* () {
      if (gone === undefined && isGone?.(twin.instance_id) === true) {
        gone = twin.instance_id
        return
      }
      const beatAgain = firstSeen !== undefined && DateTime.isGreaterThan(twin.last_heartbeat_at, firstSeen)
      if (beatAgain) return yield* twin
      if (firstSeen === undefined) {
        yield* Effect.logWarning(
          `worker ${id} is known as instance ${twin.instance_id}; waiting to see whether it lives`
        )
      }
      firstSeen = twin.last_heartbeat_at
      yield* Effect.sleep(Duration.min(beatInterval, Duration.seconds(2)))
    })

  while (true) {
    const updated = yield* untilReached(attempt).pipe(
      Effect.asSome,
      Effect.catchTag("LiveTwin", (twin) => Effect.as(judge(twin), Option.none()))
    )
    if (Option.isSome(updated)) return updated.value
  }
})

const enrol = Effect.fnUntraced(function* (options: AgentOptions) {
  const registry = yield* RegistryAccess
  const { registration } = options
  const worker = yield* untilReached(
    registry.register({
      ...registration,
      capabilities: options.offering.whole(),
      connectors: options.offering.reports()
    })
  ).pipe(Effect.catchTag("WorkerAlreadyExists", () => succeed(options)))
  // The first beat at once: it is what makes the worker active.
  yield* Effect.ignore(registry.beat(registration.id))
  yield* Effect.logInfo(`worker ${worker.id} is registered and accepts ${worker.capabilities.job_types.join(", ")}`)
  return worker
})

/**
 * Beats for ever; a worker the registry has forgotten enrols again. One that was not heard for several beats, because
 * it was frozen or cut off, may have been replaced meanwhile: it asks before it beats on, and ends when it was.
 */
const beating = Effect.fnUntraced(function* (options: AgentOptions) {
  const registry = yield* RegistryAccess
  const { id } = options.registration
  const longSilence = Duration.toNanosUnsafe(options.beatInterval) * 3n
  let heardAt = yield* Clock.currentTimeNanos

  const confirm = registry.update(id, updateOf(options))
  const round = Effect.gen(function* () {
    const silence = (yield* Clock.currentTimeNanos) - heardAt
    if (silence > longSilence) yield* confirm
    yield* registry.beat(id)
    heardAt = yield* Clock.currentTimeNanos
  }).pipe(
    Effect.catchTag("WorkerNotFound", () => enrol(options)),
    Effect.catchTag(["RegistryUnreachable", "RegistryRefused"], (error) =>
      Effect.logWarning(`heartbeat not delivered: ${error.message}`)
    )
  )
  return yield* Effect.forever(Effect.delay(round, options.beatInterval))
})

/** Of what the registry is told that which matters: whether a connector works just now does not. */
const gist = ({ offering }: AgentOptions): string =>
  JSON.stringify([
    offering.whole(),
    offering.reports().map((report) => ({ ...report, status: takesJobs(report) ? "well" : report.status }))
  ])

/** Several things change at once when a service comes or goes. */
const reportAfter = Duration.seconds(1)

/**
 * Tells the registry for ever when connectors become well or ill, or their services have something else. `told` is the
 * gist of what it was told first.
 */
const reporting = Effect.fnUntraced(function* (options: AgentOptions, told: string) {
  const { offering, registration } = options
  const registry = yield* RegistryAccess
  const changes = yield* Queue.sliding<void>(1)
  yield* Effect.acquireRelease(
    Effect.sync(() => offering.onChange(() => Queue.offerUnsafe(changes, undefined))),
    (forget) => Effect.sync(forget)
  )
  let last = told
  const round = Effect.gen(function* () {
    const now = gist(options)
    if (now === last) return
    yield* untilReached(Effect.suspend(() => registry.update(registration.id, updateOf(options))))
    last = now
  }).pipe(
    // One that it has forgotten is told with the next beat.
    Effect.catchTag("WorkerNotFound", () => Effect.void),
    // What a service has may be more than the registry takes; the worker goes on with what it said before.
    Effect.catchTag(["RegistryRefused", "InvalidConfiguration"], (error) =>
      Effect.logWarning(`connectors not reported: ${error.message}`)
    )
  )
  // What changed since the registry was told first is told at once.
  yield* Queue.offer(changes, undefined)
  return yield* Effect.forever(
    Queue.take(changes).pipe(Effect.andThen(Effect.sleep(reportAfter)), Effect.andThen(round))
  )
}, Effect.scoped)

/** The same offering with the labels that the registry gives every worker, for claims go by them too. */
const asRegistered = ({ offering, registration }: AgentOptions): Offering => {
  let asked: Capabilities | undefined
  let answered: Capabilities | undefined
  return {
    ...offering,
    now: () => {
      const capabilities = offering.now()
      if (answered === undefined || asked !== capabilities) {
        asked = capabilities
        answered = fromRegistration({ ...registration, capabilities }).capabilities
      }
      return answered
    }
  }
}

/** Runs a worker until it is interrupted, or fails because it may not be one. */
export const run = (options: AgentOptions) =>
  Effect.gen(function* () {
    const registry = yield* RegistryAccess
    const { capacity, id } = options.registration
    const told = gist(options)
    yield* enrol(options)
    const offering = asRegistered(options)
    const running = JobRunner.run({ ...options, worker_id: id, offering, capacity })
    return yield* Effect.raceAllFirst([beating(options), reporting(options, told), running]).pipe(
      Effect.onInterrupt(() =>
        registry
          .leave(id)
          .pipe(
            Effect.timeout("1 second"),
            Effect.ignore({ log: "Debug" }),
            Effect.andThen(Effect.logInfo("worker stopped"))
          )
      )
    )
  }).pipe(Effect.annotateLogs({ worker_id: options.registration.id }))
