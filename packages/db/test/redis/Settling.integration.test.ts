/**
 * Classes and signatures that come at the same time, from several processes: whoever settles a pair, and whoever dies
 * meanwhile, each pair is known exactly when the rule holds for it.
 */
import { assert, it } from "@effect/vitest"
import { Context, DateTime, Effect, Layer, Redacted } from "effect"
import { inject } from "vitest"
import { type Job, request } from "@muster/core/job/Job"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import { matches } from "@muster/core/job/Matching"
import { QueueSettings } from "@muster/core/job/QueueSettings"
import type { Capabilities } from "@muster/core/worker/Worker"
import * as JobCommands from "@muster/db/redis/JobCommands"
import * as Redis from "@muster/db/redis/Redis"
import * as RedisFunctions from "@muster/db/redis/RedisFunctions"
import * as RedisJobQueue from "@muster/db/redis/RedisJobQueue"
import * as Settling from "@muster/db/redis/Settling"
import { freshQueue, startRedis } from "../../../../tools/servers/testServers.ts"
import { jobId, nonce, settings, worker } from "../../../core/test/job/QueueTest.ts"
import { queueOn, redisCli } from "./OwnRedis.ts"
import { queueState, violations } from "./QueueState.ts"

const settles = new Set(["create_signature", "signature_step", "signature_outcome", "class_step", "class_outcome"])

/** The functions, with settling that takes its time, so that others come between its steps. */
const dawdling = Layer.effect(
  RedisFunctions.RedisFunctions,
  Effect.gen(function* () {
    const redis = yield* Redis.Redis
    const functions = yield* RedisFunctions.RedisFunctions
    let turn = 0
    return RedisFunctions.RedisFunctions.of({
      call: (name, queue, args) => {
        const call = functions.call(name, queue, args)
        const waits = settles.has(name) ? (++turn * 7) % 5 : 0
        return Effect.andThen(Effect.replicateEffect(redis.send("PING", []), waits), call)
      }
    })
  })
).pipe(Layer.provide(RedisFunctions.layer))

/** A queue over a connection of its own, as in a process of its own. */
const process = (name: string) =>
  Layer.build(
    Layer.fresh(RedisJobQueue.layer).pipe(
      Layer.provideMerge(Layer.fresh(dawdling)),
      Layer.provideMerge(Layer.fresh(Redis.layer(Redacted.make(inject("redisUrl"))))),
      Layer.provide(Layer.succeed(QueueSettings, { ...settings, name }))
    )
  )

const processes = Effect.gen(function* () {
  const name = yield* freshQueue
  return { name, all: yield* Effect.all([process(name), process(name), process(name)]) }
})

const claimAs = (queue: JobQueue["Service"], name: string, capabilities: Capabilities, limit: number) =>
  queue.claim({ worker_id: worker(name), capabilities, capacity: 10_000, limit, nonce: nonce() })

const assertSound = (name: string) =>
  Effect.map(queueState(name), (state) => assert.strictEqual(violations(state).join("\n"), ""))

const numbers = (count: number) => Array.from({ length: count }, (_, n) => n)

it.live("deniedNeverClaimed: whatever is submitted while a worker that denies its customer comes", () =>
  Effect.gen(function* () {
    const { all, name } = yield* processes
    const [first, second, third] = all
    const [one, two, three] = all.map((context) => Context.get(context, JobQueue))
    const claimed: Array<{ readonly capabilities: Capabilities; readonly jobs: ReadonlyArray<Job> }> = []
    const claimsBy = (queue: JobQueue["Service"], by: string, capabilities: Capabilities) =>
      Effect.forEach(numbers(5), () =>
        Effect.map(claimAs(queue, by, capabilities, 3), (jobs) => claimed.push({ capabilities, jobs }))
      )
    const rounds = 8
    for (const round of numbers(rounds)) {
      const [denied, allowed, flow] = [`denied${round}`, `allowed${round}`, `flow${round}`]
      const jobs = numbers(24).map((n) => ({
        id: jobId(`${round}-${n}`),
        request: request({
          service_required: "x",
          customer_id: [denied, allowed, "other", null][n % 4]!,
          workflow_id: n % 3 === 0 ? flow : null
        })
      }))
      yield* Effect.forEach(jobs.slice(0, 12), ({ id, request }) => one!.submit(id, request), { concurrency: 12 })
      yield* Effect.all(
        [
          Effect.forEach(jobs.slice(12), ({ id, request }) => one!.submit(id, request), { concurrency: 3 }),
          claimsBy(two!, "denies", { job_types: ["x"], customers: { deny: [denied] } }),
          claimsBy(three!, "allows", { job_types: ["x"], customers: { allow: [allowed] } }),
          claimsBy(two!, "pinned", { job_types: ["x"], workflow_id: flow }),
          claimsBy(three!, "denies-two", { job_types: ["x"], customers: { deny: [denied, "other"] } })
        ],
        { concurrency: "unbounded" }
      )
      for (const { capabilities, jobs } of claimed) {
        for (const job of jobs)
          assert.isTrue(matches(job, capabilities), `${job.id} to ${JSON.stringify(capabilities)}`)
      }
    }
    for (const context of [first, second, third]) yield* Effect.provideContext(assertSound(name), context!)
    const rest = yield* claimAs(one!, "any", { job_types: ["x"] }, 10_000)
    const total = claimed.reduce((sum, { jobs }) => sum + jobs.length, 0) + rest.length
    assert.strictEqual(total, rounds * 24)
    assert.isAbove(total - rest.length, rounds)
  })
)

it.live("pairSettledOnce: classes and signatures born together, settled by all", () =>
  Effect.gen(function* () {
    const { all, name } = yield* processes
    const queues = all.map((context) => Context.get(context, JobQueue))
    const tiers = numbers(12).map((n) => `t${n}`)
    yield* Effect.forEach(
      tiers.flatMap((tier) => queues.map((queue, at) => ({ at, queue, tier }))),
      ({ at, queue, tier }) =>
        Effect.all(
          [
            // Each class is made by one of them, and met by the others before it is settled.
            queue.submit(
              jobId(`${tier}-${at}`),
              request({ service_required: "x", requirements: { labels: { tier } } })
            ),
            // Each signature is met by all of them before it is ready.
            claimAs(queue, `${tier}-${at}`, { job_types: ["x"], labels: { tier: [tier, `${tier}-more`] } }, 0),
            claimAs(queue, `${tier}-any-${at}`, { job_types: ["x"], labels: { tier: tiers } }, 0)
          ],
          { concurrency: "unbounded" }
        ),
      { concurrency: 9 }
    )
    const state = yield* Effect.provideContext(queueState(name), all[0]!)
    assert.strictEqual(violations(state).join("\n"), "")
    assert.strictEqual(state.classes.length, tiers.length)
    assert.strictEqual(state.signatures.length, tiers.length + 1)
    assert.isTrue(state.classes.every(({ match, settled }) => settled && match.size === 2))
    assert.isTrue(state.signatures.every(({ ready }) => ready))
    // An outcome that is told again, or late, changes nothing.
    const redis = Context.get(all[0]!, Redis.Redis)
    const functions = Context.get(all[0]!, RedisFunctions.RedisFunctions)
    const prefix = RedisFunctions.queuePrefix(name)
    for (const { number } of state.classes) {
      yield* functions.call("class_outcome", prefix, [number, "0", "99", "", ...state.signatures.map((s) => s.number)])
    }
    for (const { number } of state.signatures) {
      yield* functions.call("signature_outcome", prefix, [number, "0", "99", ...state.classes.map((c) => c.number)])
    }
    assert.deepStrictEqual(yield* Effect.provideContext(queueState(name), all[0]!), state)
    assert.deepStrictEqual(yield* redis.send("SMEMBERS", [`${prefix}:settling`]), [])
  })
)

it.live("what a process that died left unsettled is settled by the tick of another", () =>
  Effect.gen(function* () {
    const { all, name } = yield* processes
    const [context] = all
    const queue = Context.get(context!, JobQueue)
    const functions = Context.get(context!, RedisFunctions.RedisFunctions)
    const prefix = RedisFunctions.queuePrefix(name)
    const gold: Capabilities = { job_types: ["x"], labels: { tier: "gold" } }
    yield* claimAs(queue, "waits", gold, 1)

    // As a process does that dies before it has heard the answer.
    const submit = JobCommands.submit(functions, prefix)
    const wanted = request({ service_required: "x", requirements: { labels: { tier: "gold" } } })
    yield* Effect.exit(submit({ ...JobCommands.written({ id: jobId("j"), request: wanted }), priorityStepMs: "60000" }))
    const { id, text } = Settling.claimSignature({ ...gold, models: ["m"] })
    yield* functions.call("create_signature", prefix, [id, text, ""])
    const before = yield* Effect.provideContext(queueState(name), context!)
    assert.deepStrictEqual(
      [before.classes.map((c) => c.settled), before.signatures.map((s) => s.ready)],
      [[false], [true, false]]
    )

    yield* Effect.repeat(queue.tick, { times: 3 })
    const after = yield* Effect.provideContext(queueState(name), context!)
    assert.deepStrictEqual(
      [after.classes.map((c) => c.settled), after.signatures.map((s) => s.ready)],
      [[true], [true, true]]
    )
    assert.strictEqual(violations(after).join("\n"), "")
    const redis = Context.get(context!, Redis.Redis)
    const states = yield* redis.send("HGET", [`${prefix}:workers`, "waits"])
    assert.match(String(states), /^w /, "the worker that waited is woken")
    assert.deepStrictEqual(
      (yield* claimAs(queue, "waits", gold, 5)).map((job) => String(job.id)),
      ["j"]
    )
  })
)

it.live("a signature that this version cannot read keeps nobody from settling the others", () =>
  Effect.gen(function* () {
    const { all, name } = yield* processes
    const queue = Context.get(all[0]!, JobQueue)
    const functions = Context.get(all[0]!, RedisFunctions.RedisFunctions)
    const plain: Capabilities = { job_types: ["x"] }
    yield* claimAs(queue, "reads", plain, 1)
    yield* functions.call("create_signature", RedisFunctions.queuePrefix(name), ["of-another-version", "{}", ""])
    yield* queue.submit(jobId("j"), request({ service_required: "x" }))
    assert.deepStrictEqual(
      (yield* claimAs(queue, "reads", plain, 1)).map((job) => String(job.id)),
      ["j"]
    )
    yield* Effect.repeat(queue.tick, { times: 3 })
  })
)

it.live("deniedNeverClaimed: processes that outlive what Redis knew do not take new signatures for old ones", () =>
  Effect.gen(function* () {
    const { url } = yield* startRedis()
    const [one, two] = yield* Effect.forEach([1, 2], () =>
      Effect.map(Layer.build(queueOn(url)), (context) => Context.get(context, JobQueue))
    )
    const gold: Capabilities = { job_types: ["x"], labels: { tier: "gold" } }
    const silver: Capabilities = { job_types: ["x"], labels: { tier: "silver" } }
    const wanted = request({ service_required: "x", requirements: { labels: { tier: "gold" } } })
    yield* claimAs(one!, "gold", gold, 1)
    yield* one!.submit(jobId("before"), wanted)
    yield* redisCli(url, ["FLUSHALL"])
    yield* claimAs(two!, "silver", silver, 1)
    yield* one!.submit(jobId("after"), wanted)
    assert.deepStrictEqual(yield* claimAs(two!, "silver", silver, 1), [])
    assert.deepStrictEqual(
      (yield* claimAs(two!, "gold", gold, 2)).map((job) => String(job.id)),
      ["after"]
    )
  })
)

it.live("headIsLowerBound: that an earlier job of the same rank is back is told to all, however many they are", () =>
  Effect.gen(function* () {
    const { all, name } = yield* processes
    const queue = Context.get(all[0]!, JobQueue)
    const kinds = numbers(300).map((n): Capabilities => ({ job_types: ["x"], labels: { n } }))
    const old = DateTime.subtract(yield* DateTime.now, { minutes: 1 })
    const submit = (id: string) => queue.submit(jobId(id), request({ service_required: "x", workflow_datetime: old }))
    const claimOne = (by: string, capabilities: Capabilities) =>
      Effect.gen(function* () {
        const claimed = { worker_id: worker(by), capabilities, capacity: 9, limit: 1, nonce: nonce() }
        const [job] = yield* queue.claim(claimed)
        return job && { job_id: job.id, attempt: job.attempt, nonce: claimed.nonce }
      })
    yield* claimAs(queue, "first", kinds[0]!, 0)
    yield* submit("early")
    const early = yield* claimOne("first", kinds[0]!)
    assert.isUndefined(yield* claimOne("first", kinds[0]!))
    yield* submit("later")
    // All of them know of the later job alone.
    yield* Effect.forEach(kinds, (kind, n) => claimAs(queue, `w${n}`, kind, 0), { concurrency: 32 })
    yield* queue.giveBack(early!)
    yield* Effect.provideContext(assertSound(name), all[0]!)
    for (const [n, kind] of kinds.entries()) {
      const given = yield* claimOne(`w${n}`, kind)
      assert.strictEqual(given?.job_id, jobId("early"))
      yield* queue.giveBack(given!)
    }
  })
)
