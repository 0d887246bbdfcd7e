/**
 * What every connector must do, whatever its service. A subject brings a service, real or a double, that can be hurt and
 * that knows what it is doing.
 */
import { NodeServices } from "@effect/platform-node"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as FolderAssetStore from "@muster/connectors/assets/FolderAssetStore"
import type { Connector, ConnectorJob, ConnectorServices, RunningConnector } from "@muster/core/connector/Connector"
import type { FailureKind } from "@muster/core/connector/ConnectorFailure"
import * as MemoryQuotaBudget from "@muster/core/connector/internal/MemoryQuotaBudget"
import { JobId, type Progress } from "@muster/core/job/Job"
import { expandAll } from "@muster/core/mapping/Template"
import * as GuardedRemoteFiles from "@muster/connectors/network/GuardedRemoteFiles"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, FileSystem, Layer, Result, Schedule, type Scope } from "effect"

export type Hurt =
  /** Refuses connections. */
  | "down"
  /** Takes requests and never answers. */
  | "hanging"
  /** Answers everything with 500. */
  | "failing"
  /** Answers everything with a page of HTML. */
  | "html"
  /** Refuses the credentials. */
  | "unauthorized"

export interface Service {
  /** What the connector is told, beside its defaults; its timeouts should be long, for machines that are slow. */
  readonly environment: Readonly<Record<string, string>>
  /** What it is told besides where the service hangs: its timeouts should be short. */
  readonly impatient: Readonly<Record<string, string>>
  /** Work going on at the service now. */
  readonly running: () => number
  /** Connections open at the service now. */
  readonly sockets: () => number
  readonly hurt: (how: Hurt) => Effect.Effect<void>
}

export interface Subject {
  readonly connector: Connector
  readonly service: Effect.Effect<Service, never, Scope.Scope>
  /** A payload that is done soon; what its result must be like is for tests of one's own. */
  readonly quick: unknown
  /** One that runs until it is stopped, once it has begun; null where nothing can be stopped. */
  readonly endless: unknown
  /** One that no service could run; it must be refused before anything is sent. */
  readonly invalid: unknown
  /** What these mean where it is not what it means by HTTP; null: cannot happen to this service. */
  readonly failures?: Partial<Record<Hurt, FailureKind | ReadonlyArray<FailureKind> | null>>
  /** Texts that must never be seen. */
  readonly secrets?: ReadonlyArray<string>
}

/** What connectors may use, for real: a folder for assets, and any address. */
export const services: Layer.Layer<ConnectorServices> = Layer.mergeAll(
  Layer.unwrap(
    Effect.gen(function* () {
      const files = yield* FileSystem.FileSystem
      return FolderAssetStore.layer(yield* files.makeTempDirectoryScoped({ prefix: "muster-assets-" }))
    })
  ),
  MemoryQuotaBudget.layer,
  GuardedRemoteFiles.layer({ alsoAllowed: true }),
  NodeHttpClient.layerUndici
).pipe(Layer.provide(NodeServices.layer), Layer.orDie)

export const jobOf = (payload: unknown, over: Partial<ConnectorJob> = {}): ConnectorJob => ({
  id: JobId.make(`job-${globalThis.crypto.randomUUID()}`),
  attempt: 1,
  service_required: "tested",
  payload,
  workflow_id: null,
  customer_id: null,
  metadata: null,
  ...over
})

/** A connector that is up, with its defaults and what the environment says. */
export const acquire = (connector: Connector, environment: Readonly<Record<string, string>>) =>
  connector.acquire(Result.getOrThrow(expandAll(connector.variables, environment)))

/** Waits until something holds; fails after a minute. */
export const eventually = (what: string, holds: () => boolean) =>
  Effect.suspend(() => (holds() ? Effect.void : Effect.fail(what))).pipe(
    Effect.retry(Schedule.spaced("5 millis")),
    Effect.timeoutOrElse({ duration: "60 seconds", orElse: () => Effect.die(new Error(`never: ${what}`)) })
  )

const kindOfHurt: Record<Hurt, ReadonlyArray<FailureKind>> = {
  down: ["ServiceUnavailable"],
  hanging: ["Timeout", "ServiceUnavailable"],
  failing: ["ServiceUnavailable"],
  html: ["ProtocolError"],
  unauthorized: ["Unauthorized"]
}

const ignoreProgress = () => Effect.void

export const suite = (name: string, subject: Subject) =>
  describe(`${name} as every connector`, () => {
    const test = (
      title: string,
      body: (running: RunningConnector, service: Service) => Effect.Effect<void, unknown, ConnectorServices>,
      isImpatient = false
    ) =>
      it.live(title, () =>
        Effect.gen(function* () {
          const service = yield* subject.service
          const environment = { ...service.environment, ...(isImpatient ? service.impatient : {}) }
          yield* Effect.scoped(
            Effect.flatMap(Effect.orDie(acquire(subject.connector, environment)), (running) => body(running, service))
          )
          // Nothing stays behind: neither work nor connections.
          yield* eventually("no work is left at the service", () => service.running() === 0)
        }).pipe(Effect.scoped, Effect.provide(services))
      )

    /** Starts work and waits until the service has begun with it. */
    const begun = (running: RunningConnector, service: Service) =>
      Effect.gen(function* () {
        const before = service.running()
        const fiber = yield* Effect.forkChild(running.process(jobOf(subject.endless), ignoreProgress))
        yield* eventually("the work begins", () => service.running() > before)
        return fiber
      })

    test("is healthy while its service is", (running) => running.health)

    test("runs a job to its end, and says how far it is without going back", (running) =>
      Effect.gen(function* () {
        const told: Array<Progress> = []
        const result = yield* running.process(jobOf(subject.quick), (progress) =>
          Effect.sync(() => void told.push(progress))
        )
        assert.deepStrictEqual(JSON.parse(JSON.stringify(result)), result, "the result is JSON")
        const percents = told.map(({ percent }) => percent)
        assert.deepStrictEqual(
          percents,
          percents.toSorted((a, b) => a - b)
        )
        assert.isTrue(percents.every((percent) => percent >= 0 && percent <= 100))
      }))

    test("runs several jobs at once", (running) =>
      Effect.asVoid(
        Effect.all(
          Array.from({ length: 3 }, () => running.process(jobOf(subject.quick), ignoreProgress)),
          { concurrency: 3 }
        )
      ))

    if (subject.endless !== null) {
      test("stops the work of its service when it is interrupted, and no other work", (running, service) =>
        Effect.gen(function* () {
          const first = yield* begun(running, service)
          // What may not run beside the first begins when that is stopped.
          const isAlone = running.max_concurrent_jobs === 1
          const second = isAlone
            ? yield* Effect.forkChild(running.process(jobOf(subject.endless), ignoreProgress))
            : yield* begun(running, service)
          yield* Fiber.interrupt(first)
          yield* eventually("one work is left", () => service.running() === 1)
          yield* Fiber.interrupt(second)
          yield* eventually("none is left", () => service.running() === 0)
        }))
    }

    test("refuses a payload that nobody could run, and sends nothing", (running, service) =>
      Effect.gen(function* () {
        const failure = yield* Effect.flip(running.process(jobOf(subject.invalid), ignoreProgress))
        assert.strictEqual(failure.kind, "InvalidPayload")
        assert.strictEqual(service.running(), 0)
      }))

    for (const how of ["down", "hanging", "failing", "html", "unauthorized"] as const) {
      const expected = subject.failures?.[how]
      if (expected === null) continue
      const kinds = expected === undefined ? kindOfHurt[how] : [expected].flat()
      const title = `a service that is ${how} is not healthy and runs nothing: ${kinds.join(" or ")}`
      const body = (running: RunningConnector, service: Service) =>
        Effect.gen(function* () {
          yield* service.hurt(how)
          const sick = yield* Effect.flip(running.health)
          assert.include(kinds, sick.kind)
          const failure = yield* Effect.flip(running.process(jobOf(subject.quick), ignoreProgress))
          assert.include(kinds, failure.kind, failure.message)
          for (const secret of subject.secrets ?? []) assert.notInclude(`${sick.message} ${failure.message}`, secret)
        })
      test(title, body, how === "hanging")
    }

    it.live("leaves no connection open behind its scope", () =>
      Effect.gen(function* () {
        const service = yield* subject.service
        const begin = yield* Deferred.make<void>()
        yield* Effect.gen(function* () {
          const running = yield* acquire(subject.connector, service.environment)
          yield* running.process(jobOf(subject.quick), ignoreProgress)
          yield* Deferred.succeed(begin, undefined)
        }).pipe(Effect.scoped, Effect.provide(Layer.fresh(services)))
        yield* Deferred.await(begin)
        yield* eventually("all connections are closed", () => service.sockets() === 0)
      }).pipe(Effect.scoped)
    )
  })
