/** The claim loop of a worker whose connectors come and go: it claims what can be begun, and nothing else. */
import { assert, describe, it } from "@effect/vitest"
import type { Connector } from "@muster/core/connector/Connector"
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import * as JobRunner from "@muster/core/connector/runner/JobRunner"
import * as Offering from "@muster/core/connector/runtime/Offering"
import * as SupervisedConnector from "@muster/core/connector/runtime/SupervisedConnector"
import { type ClaimRequest, JobQueue } from "@muster/core/job/internal/JobQueue"
import * as MemoryJobQueue from "@muster/core/job/internal/MemoryJobQueue"
import { JobId } from "@muster/core/job/Job"
import { Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { noServices } from "./connectorServices.ts"
import { jobNow, pass, submit, turns, worker_id } from "./RunnerTest.ts"

const away = new ConnectorFailure({ kind: "ServiceUnavailable", message: "the service is away" })

/** A worker with one connector for `render` and one for `text`, whose services can be taken away. */
const aWorker = Effect.fnUntraced(function* (
  capacity: number,
  max_concurrent_jobs: { readonly render?: number; readonly text?: number } = {}
) {
  const queue = yield* JobQueue
  const claims: Array<ClaimRequest> = []
  let left = 0
  const watched = Layer.succeed(
    JobQueue,
    JobQueue.of({
      ...queue,
      claim: (request) => Effect.suspend(() => (claims.push(request), queue.claim(request))),
      leaveIdle: (worker) => Effect.suspend(() => (left++, queue.leaveIdle(worker)))
    })
  )
  const health = { render: Effect.void, text: Effect.void } as Record<
    "render" | "text",
    Effect.Effect<void, ConnectorFailure>
  >
  const { connectors, offering } = Offering.supervised({})
  for (const type of ["render", "text"] as const) {
    const connector: Connector = {
      name: `${type}-connector`,
      variables: {},
      acquire: () =>
        Effect.succeed({
          health: Effect.suspend(() => health[type]),
          process: () => Effect.as(Effect.sleep("1 second"), type),
          max_concurrent_jobs: max_concurrent_jobs[type]
        })
    }
    const options = { connector, settings: {}, job_types: [type], changed: offering.changed }
    connectors.push(yield* SupervisedConnector.make(options))
  }
  offering.changed()
  yield* Effect.forkChild(Effect.provide(JobRunner.run({ worker_id, offering, capacity }), watched), {
    startImmediately: true
  })
  yield* turns
  return { claims, health, leaves: () => left }
})

const statuses = (...ids: ReadonlyArray<string>) =>
  Effect.forEach(ids, (id) => Effect.map(jobNow(JobId.make(id)), ({ status }) => status))

const as = (id: string, service_required: string) => submit({ service_required }, JobId.make(id))

const layer = Layer.merge(MemoryJobQueue.layer, noServices)

describe("a worker whose connectors come and go", () => {
  it.effect("leaves jobs alone whose connector is ill, and takes them as soon as it is well", () =>
    Effect.gen(function* () {
      const { claims, health } = yield* aWorker(2)
      health.render = Effect.fail(away)
      yield* TestClock.adjust("30 seconds")
      yield* as("r", "render")
      yield* as("t", "text")
      assert.deepStrictEqual(yield* statuses("r", "t"), ["pending", "processing"])
      assert.deepStrictEqual(claims.at(-1)?.capabilities.job_types, ["text"])
      health.render = Effect.void
      yield* pass(13_000)
      assert.deepStrictEqual(yield* statuses("r", "t"), ["completed", "completed"])
    }).pipe(Effect.provide(layer))
  )

  it.effect("that has nothing to offer stands in no line, asks for nothing, and is back at once", () =>
    Effect.gen(function* () {
      const { claims, health, leaves } = yield* aWorker(2)
      health.render = Effect.fail(away)
      health.text = Effect.fail(away)
      yield* pass(30_000)
      const [asked, left] = [claims.length, leaves()]
      assert.isAbove(left, 0)
      yield* as("t", "text")
      yield* pass(60_000)
      assert.deepStrictEqual([yield* statuses("t"), claims.length], [["pending"], asked])
      health.text = Effect.void
      yield* pass(13_000)
      assert.deepStrictEqual(yield* statuses("t"), ["completed"])
    }).pipe(Effect.provide(layer))
  )

  it.effect("never claims more of a type than its connector has places for", () =>
    Effect.gen(function* () {
      const { claims } = yield* aWorker(5, { render: 1 })
      for (const n of [1, 2, 3]) yield* as(`r${n}`, "render")
      yield* as("t1", "text")
      yield* as("t2", "text")
      assert.deepStrictEqual(yield* statuses("r1", "r2", "r3", "t1", "t2"), [
        "processing",
        "pending",
        "pending",
        "processing",
        "processing"
      ])
      yield* pass(1_100)
      assert.deepStrictEqual(yield* statuses("r1", "r2", "r3"), ["completed", "processing", "pending"])
      yield* pass(2_200)
      assert.deepStrictEqual(yield* statuses("r3"), ["completed"])
      for (const { capabilities, limit } of claims) {
        if (capabilities.job_types.includes("render")) assert.strictEqual(limit, 1)
      }
    }).pipe(Effect.provide(layer))
  )
})
