/**
 * What lets a claim be one look at its signature's heads holds after every command, whatever the commands: the state in
 * Redis is read and compared with the matching rule.
 */
import { assert, it } from "@effect/vitest"
import { Arbitrary, Context, DateTime, Duration, Effect, Layer, Redacted, Schema } from "effect"
import { inject } from "vitest"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import { type Fence, request } from "@muster/core/job/Job"
import { matches } from "@muster/core/job/Matching"
import { QueueSettings } from "@muster/core/job/QueueSettings"
import type { Requirements } from "@muster/core/job/Requirements"
import type { Capabilities } from "@muster/core/worker/Worker"
import * as Redis from "@muster/db/redis/Redis"
import * as RedisFunctions from "@muster/db/redis/RedisFunctions"
import { freshQueue } from "../../../../tools/servers/testServers.ts"
import { jobId, settings, StoreTime, worker } from "../../../core/test/job/QueueTest.ts"
import { byRank, queueState, type QueueState, violations } from "./QueueState.ts"
import * as RedisTime from "./RedisTime.ts"

const needs: Record<string, Requirements> = {
  nothing: {},
  machine: { labels: { machine_id: "m1" } },
  "another machine": { exclude: { machine_id: "m1" } },
  gold: { labels: { tier: "gold" } },
  memory: { hardware: { gpu_memory_gb: 24 } },
  isolation: { customer_isolation: "strict" }
}

const offers: Record<string, Capabilities> = {
  plain: { job_types: ["x", "y"] },
  x: { job_types: ["x"] },
  "denies c1": { job_types: ["x", "y"], customers: { deny: ["c1"] } },
  "denies c1 and c2": { job_types: ["x"], customers: { deny: ["c1", "c2"] }, labels: { tier: "gold" } },
  "allows c1": { job_types: ["x", "y"], customers: { allow: ["c1"], isolation: "strict" } },
  "pinned to f1": { job_types: ["x", "y"], workflow_id: "f1" },
  "on m1": { job_types: ["x", "y"], labels: { machine_id: "m1" } },
  "on m2": { job_types: ["x", "y"], labels: { machine_id: "m2", tier: "gold" } },
  "large, on m1, denies c2": {
    job_types: ["x", "y"],
    hardware: { gpu_memory_gb: 80 },
    labels: { machine_id: "m1", tier: "gold" },
    customers: { deny: ["c2"], isolation: "strict" }
  }
}

const names = <Value>(record: Record<string, Value>) => Schema.Literals(Object.keys(record))
const Which = Schema.Literals([0, 1, 2, 3])
const Work = Schema.Struct({
  type: Schema.Literals(["x", "x", "y"]),
  needs: names(needs),
  customer: Schema.NullOr(Schema.Literals(["c1", "c2"])),
  workflow: Schema.NullOr(Schema.Literals(["f1", "f2"])),
  priority: Schema.Literals([40, 50, 50, 60]),
  /** Of a workflow as old as the queue: all of these have one rank. */
  old: Schema.Boolean,
  later: Schema.Literals([false, false, false, true])
})
const Plain = Schema.Struct({
  type: Schema.Literal("x"),
  needs: Schema.Literal("nothing"),
  customer: Schema.NullOr(Schema.Literals(["c1", "c2"])),
  workflow: Schema.NullOr(Schema.Literal("f1")),
  priority: Schema.Literal(50),
  old: Schema.Boolean,
  later: Schema.Literal(false)
})
const Submit = Schema.TaggedStruct("submit", { work: Schema.Union([Work, Plain]) })
const SubmitMany = Schema.TaggedStruct("submit many", {
  work: Schema.Array(Schema.Union([Work, Plain])).check(Schema.isMaxLength(5))
})
const Claim = Schema.TaggedStruct("claim", {
  worker: Schema.Literals(["w1", "w2"]),
  offer: names(offers),
  limit: Schema.Literals([1, 1, 2, 5])
})
const Report = Schema.TaggedStruct("report", {
  which: Which,
  as: Schema.Literals(["complete", "give up", "retry", "retry later", "retry elsewhere", "give back", "give back"])
})
const Cancel = Schema.TaggedStruct("cancel", { which: Which })
const Others = Schema.Literals(["retry failed", "give back all", "tick", "tick", "10 s", "30 s", "11 min", "61 min"])
const Other = Schema.TaggedStruct("other", { what: Others })

const Command = Schema.Union([Submit, Submit, SubmitMany, Claim, Claim, Claim, Report, Report, Cancel, Other, Other])
type Command = typeof Command.Type

/** Numbers of classes are compared as text: they must be right also where they grow longer. */
const Begin = Schema.Literals([0, 7, 8, 98])

class Shared extends Context.Service<Shared, { readonly queueName: string }>()("@muster/db/test/redis/HeadsShared") {}

/** One connection for all runs; the name begins the names of all their queues. */
const shared = Layer.merge(
  Layer.effect(
    Shared,
    Effect.map(freshQueue, (queueName) => ({ queueName }))
  ),
  RedisFunctions.layer.pipe(
    Layer.provideMerge(Layer.unwrap(Effect.sync(() => Redis.layer(Redacted.make(inject("redisUrl"))))))
  )
)

/** No command takes as many calls, so one that goes on for ever is found. */
const callsPerCommand = 300

/** The functions, for so many calls from each `begin` on. */
const counted = Effect.map(RedisFunctions.RedisFunctions, (functions) => {
  let calls = 0
  const call: RedisFunctions.FunctionCalls["call"] = (name, queue, args) =>
    ++calls > callsPerCommand ? Effect.die(new Error(`${name} is called for ever`)) : functions.call(name, queue, args)
  const begin = () => {
    calls = 0
  }
  return { begin, functions: RedisFunctions.RedisFunctions.of({ call }) }
})

const late = { kind: "Timeout", message: "late" } as const

/** The waiting jobs that this worker is to be given at `now`, in order. */
const claimable = (state: QueueState, capabilities: Capabilities, name: string, now: number) =>
  state.jobs
    .filter(({ avoid, facts, status }) => {
      const [until, avoided] = avoid.split(" ")
      const isKeptAway = avoided === name && Number(until) > now
      return status === "pending" && !isKeptAway && matches(facts, capabilities)
    })
    .toSorted(byRank)
    .map(({ id }) => id)

const follower = Effect.fnUntraced(function* (name: string) {
  const queue = yield* JobQueue
  const time = yield* StoreTime
  const began = yield* time.now
  const fences: Array<Fence> = []
  let submitted = 0
  let claims = 0

  const requestOf = Effect.fnUntraced(function* (work: typeof Work.Type) {
    const now = yield* time.now
    return request({
      service_required: work.type,
      requirements: needs[work.needs]!,
      customer_id: work.customer,
      workflow_id: work.workflow,
      priority: work.priority,
      workflow_datetime: work.old ? DateTime.makeUnsafe(began - 60_000) : null,
      run_at: work.later ? DateTime.makeUnsafe(now + 15_000) : null
    })
  })
  const named = () => jobId(`j${++submitted}`)

  const claim = Effect.fnUntraced(function* (by: string, offer: string, limit: number) {
    const capabilities = offers[offer]!
    const expected = claimable(yield* queueState(name), capabilities, by, yield* time.now).slice(0, limit)
    const nonce = `claim-${++claims}`
    const jobs = yield* queue.claim({ worker_id: worker(by), capabilities, capacity: 10_000, limit, nonce })
    fences.push(...jobs.map(({ attempt, id }) => ({ job_id: id, attempt, nonce })))
    assert.deepStrictEqual(
      jobs.map(({ id }) => String(id)),
      expected,
      `orderByRankThenSequenceAcrossClasses: the claim of ${by}, which ${offer}`
    )
  })

  const report = (fence: Fence, as: (typeof Report.Type)["as"]) => {
    const retry = { delay: Duration.zero, usesRetry: false }
    switch (as) {
      case "complete":
        return queue.complete(fence, null)
      case "give up":
        return queue.fail(fence, late, null)
      case "retry":
        return queue.fail(fence, late, retry)
      case "retry later":
        return queue.fail(fence, late, { ...retry, delay: Duration.seconds(15) })
      case "retry elsewhere":
        return queue.fail(fence, late, { ...retry, elsewhere: true })
      case "give back":
        return queue.giveBack(fence)
    }
  }

  const follow = Effect.fnUntraced(function* (command: Command) {
    switch (command._tag) {
      case "submit":
        return yield* queue.submit(named(), yield* requestOf(command.work))
      case "submit many":
        return yield* queue.submitMany(
          yield* Effect.forEach(command.work, (work) =>
            Effect.map(requestOf(work), (request) => ({ id: named(), request }))
          )
        )
      case "claim":
        return yield* claim(command.worker, command.offer, command.limit)
      case "report": {
        const fence = fences.at(-1 - command.which)
        return fence === undefined ? undefined : yield* Effect.exit(report(fence, command.as))
      }
      case "cancel":
        return yield* Effect.exit(queue.cancel(jobId(`j${submitted - command.which}`)))
      case "other":
        switch (command.what) {
          case "retry failed":
            return yield* queue.retryFailed({})
          case "give back all":
            return yield* queue.giveBackAll(worker("w1"))
          case "tick":
            return yield* queue.tick
          case "10 s":
            return yield* time.pass("10 seconds")
          case "30 s":
            return yield* time.pass("30 seconds")
          case "11 min":
            return yield* time.pass("11 minutes")
          case "61 min":
            return yield* time.pass("61 minutes")
        }
    }
  })

  const check = Effect.map(queueState(name), (state) => assert.strictEqual(violations(state).join("\n"), ""))

  const claimAll = Effect.gen(function* () {
    yield* time.pass("40 seconds")
    while ((yield* queue.tick).more);
    for (const offer of Object.keys(offers)) {
      yield* claim("last", offer, 10_000)
      yield* check
    }
    const left = (yield* queueState(name)).jobs.filter(({ status }) => status === "pending")
    for (const { facts, id } of left) {
      for (const [offer, capabilities] of Object.entries(offers)) {
        assert.isFalse(matches(facts, capabilities), `everyMatchingJobClaimable: ${id} is left, and ${offer} matches`)
      }
    }
  })

  return { follow, check, claimAll }
})

let run = 0

it.layer(shared)("heads", (it) => {
  it.effect.prop(
    "headIsLowerBound, everyMatchingJobClaimable: after every command",
    { begin: Arbitrary.schema(Begin), commands: Arbitrary.array(Arbitrary.schema(Command), { maxLength: 60 }) },
    Effect.fnUntraced(function* ({ begin, commands }) {
      const { queueName } = yield* Shared
      const calls = yield* counted
      const name = `${queueName}-${++run}`
      const redis = yield* Redis.Redis
      yield* redis.send("HSET", [`${RedisFunctions.queuePrefix(name)}:meta`, "classes", String(begin)])
      yield* Effect.gen(function* () {
        const { check, claimAll, follow } = yield* follower(name)
        for (const [step, command] of commands.entries()) {
          calls.begin()
          yield* Effect.mapError(
            follow(command),
            (error) => new Error(`command ${step}: ${JSON.stringify(command)}`, { cause: error })
          )
          yield* check
        }
        calls.begin()
        yield* claimAll
      }).pipe(
        Effect.provide(RedisTime.layer),
        Effect.provideService(RedisFunctions.RedisFunctions, calls.functions),
        Effect.provideService(QueueSettings, { ...settings, name, retention: Duration.minutes(30) })
      )
    }),
    { timeout: 300_000, arbitrary: { runs: 50, size: 160 } }
  )
})
