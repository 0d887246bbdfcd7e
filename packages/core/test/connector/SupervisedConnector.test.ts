/** A connector under supervision: when its job types are offered, and when not. */
import { assert, describe, it } from "@effect/vitest"
import type { Connector, ConnectorJob, RunningConnector } from "@muster/core/connector/Connector"
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import * as Offering from "@muster/core/connector/runtime/Offering"
import * as SupervisedConnector from "@muster/core/connector/runtime/SupervisedConnector"
import { JobId } from "@muster/core/job/Job"
import { InvalidConfiguration } from "@muster/core/worker/WorkerErrors"
import { DateTime, Deferred, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { noServices } from "./connectorServices.ts"

const away = new ConnectorFailure({ kind: "ServiceUnavailable", message: "the service is away" })

const job: ConnectorJob = {
  id: JobId.make("j"),
  attempt: 1,
  service_required: "render",
  payload: null,
  workflow_id: null,
  customer_id: null,
  metadata: null
}

/** A connector whose start and health are what `state` says at the time. */
const aConnector = (over: Partial<RunningConnector> = {}) => {
  const state = {
    start: Effect.void as Effect.Effect<void, ConnectorFailure | InvalidConfiguration>,
    health: Effect.void as Effect.Effect<void, ConnectorFailure>,
    acquired: 0,
    released: 0
  }
  const connector: Connector = {
    name: "TestConnector",
    variables: {},
    acquire: () =>
      Effect.gen(function* () {
        yield* Effect.suspend(() => state.start)
        yield* Effect.acquireRelease(
          Effect.sync(() => state.acquired++),
          () => Effect.sync(() => state.released++)
        )
        return { health: Effect.suspend(() => state.health), process: () => Effect.succeed("done"), ...over }
      })
  }
  return { connector, state }
}

const supervise = (connector: Connector, changed: () => void = () => undefined) =>
  SupervisedConnector.make({ connector, settings: {}, job_types: ["render"], changed })

const status = (supervised: SupervisedConnector.SupervisedConnector) => {
  const { reason, status } = supervised.report()
  return [status, reason, supervised.free() > 0]
}

describe("a connector under supervision", () => {
  it.effect("is offered as soon as its service is well", () =>
    Effect.gen(function* () {
      const { connector } = aConnector()
      const supervised = yield* supervise(connector)
      assert.deepStrictEqual(status(supervised), ["idle", null, true])
      assert.strictEqual(yield* supervised.process(job, () => Effect.void), "done")
    }).pipe(Effect.provide(noServices))
  )

  it.effect("is not offered while its start fails, is tried again ever more rarely, and heals", () =>
    Effect.gen(function* () {
      const { connector, state } = aConnector()
      let tries = 0
      state.start = Effect.suspend(() => {
        tries++
        return Effect.fail(away)
      })
      const supervised = yield* supervise(connector)
      assert.deepStrictEqual(status(supervised), ["error", "ServiceUnavailable: the service is away", false])
      assert.strictEqual(tries, 1)
      const failure = yield* Effect.flip(supervised.process(job, () => Effect.void))
      assert.strictEqual(failure.kind, "ServiceUnavailable")
      yield* TestClock.adjust("30 seconds")
      assert.isAtLeast(tries, 4)
      assert.isAtMost(tries, 7)
      const before = DateTime.toEpochMillis(supervised.report().since)
      state.start = Effect.void
      yield* TestClock.adjust("2 minutes")
      assert.deepStrictEqual(status(supervised), ["idle", null, true])
      assert.isAbove(DateTime.toEpochMillis(supervised.report().since), before)
      assert.strictEqual(state.acquired, 1)
    }).pipe(Effect.provide(noServices))
  )

  it.effect("with wrong settings fails, and is not tried again", () =>
    Effect.gen(function* () {
      const { connector, state } = aConnector()
      let tries = 0
      state.start = Effect.suspend(() => {
        tries++
        return Effect.fail(new InvalidConfiguration({ path: "TestConnector", detail: "no url" }))
      })
      const error = yield* Effect.flip(supervise(connector))
      assert.strictEqual(error._tag, "InvalidConfiguration")
      yield* TestClock.adjust("5 minutes")
      assert.strictEqual(tries, 1)
    }).pipe(Effect.provide(noServices))
  )

  it.effect("that is slow to start is not waited for, and one that never starts is tried again", () =>
    Effect.gen(function* () {
      const { connector, state } = aConnector()
      let tries = 0
      state.start = Effect.suspend(() => (++tries === 1 ? Effect.never : Effect.void))
      const making = yield* Effect.forkChild(supervise(connector), { startImmediately: true })
      yield* TestClock.adjust("10 seconds")
      const supervised = yield* Fiber.join(making)
      assert.deepStrictEqual(status(supervised), ["starting", null, false])
      yield* TestClock.adjust("55 seconds")
      assert.deepStrictEqual(status(supervised), ["idle", null, true])
    }).pipe(Effect.provide(noServices))
  )

  it.effect(
    "is taken for ill after two failed looks in a row, not after one, and comes back with the first good one",
    () =>
      Effect.gen(function* () {
        const { connector, state } = aConnector()
        let changes = 0
        const supervised = yield* supervise(connector, () => void changes++)
        assert.strictEqual(changes, 1)
        let looks = 0
        state.health = Effect.suspend(() => (++looks % 2 === 1 ? Effect.fail(away) : Effect.void))
        yield* TestClock.adjust("1 minute")
        assert.isAtLeast(looks, 5)
        assert.deepStrictEqual([status(supervised), changes], [["idle", null, true], 1])
        state.health = Effect.fail(away)
        yield* TestClock.adjust("30 seconds")
        assert.deepStrictEqual(status(supervised), ["error", "ServiceUnavailable: the service is away", false])
        assert.strictEqual(changes, 2)
        state.health = Effect.void
        yield* TestClock.adjust("13 seconds")
        assert.deepStrictEqual([status(supervised), changes], [["idle", null, true], 3])
        assert.strictEqual(state.acquired, 1)
      }).pipe(Effect.provide(noServices))
  )

  it.effect("whose health does not answer is ill", () =>
    Effect.gen(function* () {
      const { connector, state } = aConnector()
      const supervised = yield* supervise(connector)
      state.health = Effect.never
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(status(supervised), ["error", "Timeout: its health was not told within 5s", false])
    }).pipe(Effect.provide(noServices))
  )

  it.effect("that crashes is released and started again", () =>
    Effect.gen(function* () {
      const { connector, state } = aConnector()
      const supervised = yield* supervise(connector)
      state.health = Effect.die(new Error("a bug"))
      yield* TestClock.adjust("12 seconds")
      assert.strictEqual(supervised.report().status, "error")
      assert.include(supervised.report().reason ?? "", "the connector crashed: Error: a bug")
      assert.strictEqual(state.released, state.acquired)
      state.health = Effect.void
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual(supervised.report().status, "idle")
      assert.strictEqual(state.acquired, state.released + 1)
    }).pipe(Effect.provide(noServices))
  )

  it.effect("has as many places as it says, from when a job is given to it", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      let atOnce = 0
      let most = 0
      const { connector } = aConnector({
        max_concurrent_jobs: 2,
        process: () =>
          Effect.sync(() => {
            most = Math.max(most, ++atOnce)
          }).pipe(Effect.andThen(Deferred.await(gate)), Effect.ensuring(Effect.sync(() => atOnce--)))
      })
      let changes = 0
      const supervised = yield* supervise(connector, () => void changes++)
      const [first, second] = [supervised.take(), supervised.take()]
      assert.deepStrictEqual([supervised.free(), supervised.report().status, changes], [0, "active", 2])
      const run = supervised.process(job, () => Effect.void)
      const running = yield* Effect.forEach([run, run, run], (one) => Effect.forkChild(one, { startImmediately: true }))
      assert.strictEqual(most, 2)
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.joinAll(running)
      assert.strictEqual(most, 2)
      first()
      first()
      assert.deepStrictEqual([supervised.free(), changes], [1, 3])
      second()
      assert.deepStrictEqual([supervised.free(), supervised.report().status, changes], [2, "idle", 3])
    }).pipe(Effect.provide(noServices))
  )

  it.effect("whose service wants to be left alone is given no jobs meanwhile, and says why", () =>
    Effect.gen(function* () {
      let failure = new ConnectorFailure({ kind: "RateLimited", message: "too much", retry_after_ms: 30_000 })
      const { connector } = aConnector({ process: () => Effect.fail(failure) })
      let changes = 0
      const supervised = yield* supervise(connector, () => void changes++)
      const run = Effect.flip(supervised.process(job, () => Effect.void))
      yield* run
      assert.deepStrictEqual([status(supervised), changes], [["error", "RateLimited: too much", false], 2])
      // One that was given before, and hears of a longer pause.
      yield* TestClock.adjust("20 seconds")
      failure = new ConnectorFailure({ kind: "RateLimited", message: "far too much", retry_after_ms: 20_000 })
      yield* run
      assert.deepStrictEqual([status(supervised), changes], [["error", "RateLimited: far too much", false], 2])
      yield* TestClock.adjust("19 seconds")
      assert.strictEqual(supervised.free(), 0)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual([status(supervised), changes], [["idle", null, true], 3])
      failure = new ConnectorFailure({ kind: "RateLimited", message: "for years", retry_after_ms: 99_999_999_000 })
      yield* run
      yield* TestClock.adjust("1 hour")
      assert.isAbove(supervised.free(), 0)
      failure = new ConnectorFailure({ kind: "Timeout", message: "late" })
      yield* run
      assert.isAbove(supervised.free(), 0)
    }).pipe(Effect.provide(noServices))
  )

  it.effect("that goes on with a job that was taken from it is given no other one in its place", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const { connector } = aConnector({
        max_concurrent_jobs: 1,
        process: () => Effect.uninterruptible(Deferred.await(gate))
      })
      let changes = 0
      const supervised = yield* supervise(connector, () => void changes++)
      const release = supervised.take()
      const running = yield* Effect.forkChild(
        supervised.process(job, () => Effect.void),
        { startImmediately: true }
      )
      release()
      assert.deepStrictEqual([supervised.free(), changes], [0, 2])
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(running)
      assert.deepStrictEqual([supervised.free(), changes], [1, 3])
    }).pipe(Effect.provide(noServices))
  )

  it.effect("that fails in a way nobody knows has crashed, and so has one that throws", () =>
    Effect.gen(function* () {
      const { connector } = aConnector({
        process: ({ id }) => {
          if (id === "j") return Effect.fail(new Error("unheard of") as unknown as ConnectorFailure)
          throw new Error("unheard of")
        }
      })
      const supervised = yield* supervise(connector)
      for (const id of ["j", "k"]) {
        const failure = yield* Effect.flip(supervised.process({ ...job, id: JobId.make(id) }, () => Effect.void))
        assert.deepInclude(failure, {
          kind: "ProtocolError",
          message: "the connector crashed: Error: unheard of"
        })
      }
    }).pipe(Effect.provide(noServices))
  )

  it.effect("tells nobody its secrets, whoever repeats them", () =>
    Effect.gen(function* () {
      const settings = { SERVICE_API_KEY: "sk-very-secret", SERVICE_URL: "http://service", api_token: "other-secret" }
      const said = "no such key: sk-very-secret, other-secret at http://service"
      const { connector, state } = aConnector({
        process: ({ id }) =>
          id === "j"
            ? Effect.fail(new ConnectorFailure({ kind: "Unauthorized", message: said, retry_after_ms: 1 }))
            : Effect.die(new Error(said))
      })
      const supervised = yield* SupervisedConnector.make({
        connector,
        settings,
        job_types: ["render"],
        changed: () => undefined
      })
      const hidden = "no such key: (redacted), (redacted) at http://service"
      const failed = yield* Effect.flip(supervised.process(job, () => Effect.void))
      assert.deepInclude(failed, { kind: "Unauthorized", message: hidden, retry_after_ms: 1 })
      const crash = yield* Effect.flip(supervised.process({ ...job, id: JobId.make("k") }, () => Effect.void))
      assert.deepInclude(crash, { kind: "ProtocolError", message: `the connector crashed: Error: ${hidden}` })
      state.health = Effect.fail(new ConnectorFailure({ kind: "Unauthorized", message: said }))
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(supervised.report().reason, `Unauthorized: ${hidden}`)
    }).pipe(Effect.provide(noServices))
  )

  it.effect("is offline when its scope is closed, and released", () =>
    Effect.gen(function* () {
      const { connector, state } = aConnector()
      const supervised = yield* Effect.scoped(supervise(connector))
      assert.strictEqual(supervised.report().status, "offline")
      assert.strictEqual(state.released, 1)
    }).pipe(Effect.provide(noServices))
  )
})

describe("what a service has", () => {
  it.effect("is asked anew while it is well; an answer that fails costs nothing", () =>
    Effect.gen(function* () {
      let found: Effect.Effect<{ readonly models: ReadonlyArray<string> }, ConnectorFailure> = Effect.succeed({
        models: ["sdxl"]
      })
      let told = 0
      const { connector } = aConnector({ offer: Effect.suspend(() => found) })
      const supervised = yield* supervise(connector, () => void told++)
      found = Effect.succeed({ models: ["sdxl", "flux"] })
      yield* TestClock.adjust("2 minutes")
      assert.deepStrictEqual(supervised.offer().models, ["sdxl"])
      const before = told
      yield* TestClock.adjust("5 minutes")
      assert.deepStrictEqual([supervised.offer().models, told], [["sdxl", "flux"], before + 1])
      found = Effect.fail(away)
      yield* TestClock.adjust("30 minutes")
      assert.deepStrictEqual([supervised.offer().models, told], [["sdxl", "flux"], before + 1])
      assert.deepStrictEqual(status(supervised), ["idle", null, true])
    }).pipe(Effect.provide(noServices))
  )
})

describe("an offering of supervised connectors", () => {
  const together = Effect.fnUntraced(function* (
    connectors: ReadonlyArray<{ readonly connector: Connector; readonly job_types: ReadonlyArray<string> }>,
    said: Parameters<typeof Offering.supervised>[0] = {}
  ) {
    const { connectors: supervised, offering } = Offering.supervised(said)
    for (const one of connectors) {
      supervised.push(yield* SupervisedConnector.make({ ...one, settings: {}, changed: offering.changed }))
    }
    offering.changed()
    return offering
  })

  it.effect("is without the job types of those that are ill or full, and keeps them in what the registry is told", () =>
    Effect.gen(function* () {
      const [ill, single, well] = [aConnector(), aConnector({ max_concurrent_jobs: 1 }), aConnector()]
      ill.state.health = Effect.fail(away)
      const offering = yield* together([
        { connector: ill.connector, job_types: ["a", "b"] },
        { connector: single.connector, job_types: ["c"] },
        { connector: well.connector, job_types: ["d"] }
      ])
      let told = 0
      const forget = offering.onChange(() => void told++)
      assert.deepStrictEqual(offering.whole().job_types, ["a", "b", "c", "d"])
      assert.deepStrictEqual([offering.now().job_types, offering.room()], [["c", "d"], 1])
      assert.strictEqual(offering.now(), offering.now())
      const release = offering.take("c")
      assert.deepStrictEqual([offering.now().job_types, told], [["d"], 1])
      assert.isAbove(offering.room(), 1_000)
      release()
      assert.deepStrictEqual([offering.now().job_types, told], [["c", "d"], 2])
      ill.state.health = Effect.void
      yield* TestClock.adjust("13 seconds")
      assert.deepStrictEqual([offering.now().job_types, told], [["a", "b", "c", "d"], 3])
      forget()
      offering.changed()
      assert.strictEqual(told, 3)
      offering.take("unknown")()
    }).pipe(Effect.provide(noServices))
  )

  it.effect("has what its services have: the least hardware, all models, and what the operator says before it", () =>
    Effect.gen(function* () {
      const offer = (found: object) => aConnector({ offer: Effect.succeed(found) }).connector
      const offering = yield* together(
        [
          {
            connector: offer({ hardware: { gpu_memory_gb: 24 }, models: ["sdxl"], labels: { gpu: "4090", node: "x" } }),
            job_types: ["a"]
          },
          { connector: offer({ hardware: { gpu_memory_gb: 12 }, models: ["sdxl", "flux"] }), job_types: ["b"] }
        ],
        { labels: { gpu: "mine" }, hardware: { ram_gb: 64 } }
      )
      const { hardware, labels, models } = offering.now()
      assert.deepStrictEqual(hardware, { gpu_memory_gb: 12, ram_gb: 64 })
      assert.deepStrictEqual(models, ["sdxl", "flux"])
      assert.deepStrictEqual(labels, { gpu: "mine", node: "x" })
    }).pipe(Effect.provide(noServices))
  )
})
