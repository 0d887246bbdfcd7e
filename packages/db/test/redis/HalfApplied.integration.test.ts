/**
 * noHalfAppliedCall: what a function leaves when it fails. Redis does not roll back, so each one looks at all it is
 * given before it writes; errors are injected by arguments that are none, and by keys that hold something else.
 *
 * What holds: arguments that are none change nothing. Where a key of another type stops a call half way, the call can be
 * repeated once the key is well, and then no job is lost, run twice or given to a worker that may not run it; a finished
 * job may stay for ever, and one may be missing from the list.
 */
import { assert, it } from "@effect/vitest"
import { Context, DateTime, Effect, Exit, Layer, Option } from "effect"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import { asSubmitted, type Fence, isFinished, type Job, type JobRequest, request } from "@muster/core/job/Job"
import { matches } from "@muster/core/job/Matching"
import { QueueSettings } from "@muster/core/job/QueueSettings"
import type { Capabilities } from "@muster/core/worker/Worker"
import * as JobCommands from "@muster/db/redis/JobCommands"
import * as LogCommands from "@muster/db/redis/LogCommands"
import * as Redis from "@muster/db/redis/Redis"
import type { RedisFailure } from "@muster/db/redis/RedisFailure"
import * as RedisFunctions from "@muster/db/redis/RedisFunctions"
import * as Settling from "@muster/db/redis/Settling"
import * as ViewCommands from "@muster/db/redis/ViewCommands"
import { startRedis } from "../../../../tools/servers/testServers.ts"
import { jobId, settings, StoreTime, worker } from "../../../core/test/job/QueueTest.ts"
import { queueOn } from "./OwnRedis.ts"
import { queueState, violations } from "./QueueState.ts"
import * as RedisTime from "./RedisTime.ts"

interface Call {
  readonly name: string
  readonly args: ReadonlyArray<string>
}

/** The call that a command makes. */
const callOf = <Request>(
  command: (
    functions: RedisFunctions.FunctionCalls,
    queue: string
  ) => (request: Request) => Effect.Effect<unknown, RedisFailure>,
  request: Request
): Call => {
  let made: Call = { name: "", args: [] }
  const call: RedisFunctions.FunctionCalls["call"] = (name, _, args) => {
    made = { name, args }
    return Effect.succeed(null)
  }
  Effect.runSync(Effect.ignore(command({ call }, "")(request)))
  return made
}

const priorityStepMs = "60000"
const times = { leaseMs: "30000", retentionMs: "3600000", tickMs: "60000", standby: false }
const late = { kind: "Timeout", message: "late" } as const

const submission = (id: string, over: Partial<JobRequest> = {}) => ({
  ...JobCommands.written({ id: jobId(id), request: request({ service_required: "x", ...over }) }),
  priorityStepMs
})
const submit = (id: string, over?: Partial<JobRequest>) => callOf(JobCommands.submit, submission(id, over))

const plain: Capabilities = { job_types: ["x"] }
const denies: Capabilities = { job_types: ["x"], customers: { deny: ["c1"] } }
const waits: Capabilities = { job_types: ["z"] }

const claimOf = (by: string, capabilities: Capabilities, nonce: string, limit = 2, leaseMs = times.leaseMs) => ({
  worker_id: worker(by),
  capacity: 100,
  limit,
  nonce,
  // So that what a claim gave before it failed is found when it is repeated.
  again: true,
  leaseMs,
  signature: Settling.claimSignature(capabilities).id,
  machine: "",
  inbox: "inbox",
  token: ""
})
const claim = (...args: Parameters<typeof claimOf>) => callOf(JobCommands.claim, claimOf(...args))

const fence = (id: string, nonce: string, attempt = 1): Fence => ({ job_id: jobId(id), attempt, nonce })
const held = fence("held", "n1")
/** It parks its worker before there are jobs, and is woken by the first of them. */
const stands = { ...claimOf("w3", denies, "n5", 1), token: "1" }
const failed = { fence: held, error: late, usesRetry: true, elsewhere: true }

const renewBy = (by: string, held: Fence) =>
  callOf(JobCommands.renew, {
    worker_id: worker(by),
    fences: [held],
    inbox: "inbox",
    leaseMs: times.leaseMs,
    all: true
  })

/** A failed job that only the archive knows. */
const revived: Job = {
  ...asSubmitted(
    jobId("new"),
    request({ service_required: "x", customer_id: "c1" }),
    "pending",
    DateTime.makeUnsafe(1)
  ),
  status: "failed",
  attempt: 3,
  error: late
}

const operations: Record<string, Call> = {
  submit: submit("new", { customer_id: "c1" }),
  "submit of a new class": submit("new", { service_required: "z", workflow_id: "f" }),
  "submit for later": submit("new", { run_at: DateTime.makeUnsafe(Date.now() + 3_600_000) }),
  "submit many": callOf(JobCommands.submitMany, { jobs: [submission("new"), submission("new2")], priorityStepMs }),
  claim: claim("w3", denies, "n5"),
  "claim of nothing": claim("w3", waits, "n5"),
  "claim of a woken worker": callOf(JobCommands.claimWoken, stands),
  start: callOf(JobCommands.start, fence("held2", "n1")),
  progress: callOf(JobCommands.progress, { fence: held, progress: { percent: 1 }, isEvent: true }),
  complete: callOf(JobCommands.complete, { fence: held, result: "{}" }),
  "fail for good": callOf(JobCommands.fail, { ...failed, delayMs: "" }),
  "fail with a retry": callOf(JobCommands.fail, { ...failed, delayMs: "0" }),
  "fail with a delay": callOf(JobCommands.fail, { ...failed, delayMs: "9000" }),
  "give back": callOf(JobCommands.giveBack, held),
  "late report": callOf(JobCommands.complete, { fence: fence("held", "n0", 7), result: "{}" }),
  renew: renewBy("w1", held),
  "cancel waiting": callOf(JobCommands.cancel, jobId("waits2")),
  "cancel held": callOf(JobCommands.cancel, jobId("held")),
  retry: callOf(JobCommands.retry, jobId("failed")),
  "retry failed": callOf(JobCommands.retryFailed, { before: "", after: "" }),
  "give back all": callOf(JobCommands.giveBackAll, worker("w1")),
  tick: callOf(JobCommands.tick, times),
  "tick that forgets": callOf(JobCommands.tick, { ...times, retentionMs: "1" }),
  "leave idle": callOf(JobCommands.leaveIdle, worker("parked")),
  pause: callOf(JobCommands.setStanding, { worker: worker("parked"), standing: "paused" }),
  open: callOf(JobCommands.setStanding, { worker: worker("paused"), standing: "open" }),
  "keep for archive": callOf(ViewCommands.keepForArchive, undefined),
  "mark archived": {
    name: "mark_archived",
    // None of them ended at that time: they stay as they are.
    args: ["done", "1", "failed", "1"]
  },
  revive: callOf(ViewCommands.revive, {
    failed: { position: "1700000000000000", job: revived },
    again: JobCommands.written({ id: revived.id, request: request({ service_required: "x", customer_id: "c1" }) }),
    priorityStepMs
  }),
  "append to the log": callOf(LogCommands.appendLog, {
    source: "registry",
    number: 3,
    events: [{ at: DateTime.makeUnsafe(0), type: "worker.unregistered", worker_id: worker("w1") }]
  }),
  "trim the log": callOf(LogCommands.trimLog, { retentionMs: "1", maxBytes: 1_000_000, archived: null }),
  "create signature": {
    name: "create_signature",
    args: ["an id", '{"job_types":["x"],"workflow_id":"f"}', "", "workflow:f"]
  }
}

/** Keys of a queue, without its prefix, and a fingerprint of what each holds. */
const snapshot = `
local found = {}
for _, key in ipairs(redis.call("KEYS", KEYS[1] .. ":*")) do
  found[#found + 1] = string.sub(key, #KEYS[1] + 2)
  found[#found + 1] = redis.sha1hex(redis.call("DUMP", key))
end
return found
`
/** Makes all keys of a queue those of another one. */
const copyKeys = `
for _, key in ipairs(redis.call("KEYS", KEYS[2] .. ":*")) do redis.call("DEL", key) end
for _, key in ipairs(redis.call("KEYS", KEYS[1] .. ":*")) do
  redis.call("COPY", key, KEYS[2] .. string.sub(key, #KEYS[1] + 1))
end
`
/** Puts something of another type in the place of a key. */
const spoil = `
local is_text = redis.call("TYPE", KEYS[1]).ok == "string"
redis.call("DEL", KEYS[1])
if is_text then redis.call("RPUSH", KEYS[1], "spoilt") else redis.call("SET", KEYS[1], "spoilt") end
`

/** Everything a queue is made of, for a test. */
const part = (name: string) =>
  Effect.gen(function* () {
    const redis = yield* Redis.Redis
    const functions = yield* RedisFunctions.RedisFunctions
    const context = yield* Layer.build(Layer.fresh(RedisTime.layer)).pipe(
      Effect.provideService(QueueSettings, { ...settings, name })
    )
    const prefix = RedisFunctions.queuePrefix(name)
    const settling = Settling.make(functions, prefix)
    const stored = Effect.map(redis.send("EVAL", [snapshot, "1", prefix]), (reply) => {
      const flat = reply as ReadonlyArray<string>
      return new Map(flat.flatMap((key, at) => (at % 2 === 0 ? [[key, flat[at + 1]!] as const] : [])))
    })
    /** As any server does in the background. */
    const settleAll = Effect.gen(function* () {
      for (;;) {
        const waiting = (yield* redis.send("SMEMBERS", [`${prefix}:settling`])) as ReadonlyArray<string>
        if (waiting.length === 0) return
        yield* settling.settle(waiting)
      }
    })
    return {
      name,
      prefix,
      settling,
      settleAll,
      stored,
      queue: Context.get(context, JobQueue),
      time: Context.get(context, StoreTime),
      run: (call: Call) => settling.calls.call(call.name, prefix, call.args)
    }
  })

type Part = Effect.Success<ReturnType<typeof part>>

/** Fills a queue: something waits, runs, failed, has ended, and is due. */
const fill = Effect.fnUntraced(function* ({ run, settling, time }: Part) {
  for (const capabilities of [plain, denies, waits]) {
    yield* settling.introduce(Settling.claimSignature(capabilities).id, capabilities)
  }
  yield* run(callOf(JobCommands.claim, stands))
  const soon = DateTime.makeUnsafe((yield* time.now) + 5_000)
  for (const id of ["held", "held2", "lost", "failed", "done", "waits"]) yield* run(submit(id))
  yield* run(submit("waits2", { customer_id: "c1", workflow_id: "f" }))
  yield* run(submit("gold", { requirements: { labels: { tier: "gold" } } }))
  yield* run(submit("later", { run_at: soon }))
  yield* run(submit("expires", { priority: 0, expires_at: soon }))
  yield* run(claim("w1", plain, "n1"))
  yield* run(claim("w1", plain, "n2", 1, "5000"))
  yield* run(claim("w2", plain, "n3"))
  yield* run(callOf(JobCommands.start, held))
  yield* run(callOf(JobCommands.fail, { ...failed, fence: fence("failed", "n3"), delayMs: "" }))
  yield* run(callOf(JobCommands.complete, { fence: fence("done", "n3"), result: "{}" }))
  yield* run(claim("parked", waits, "n4"))
  yield* run(callOf(JobCommands.setStanding, { worker: worker("paused"), standing: "paused" }))
  yield* time.pass("10 seconds")
})

const submitted = ["held", "held2", "lost", "failed", "done", "waits", "waits2", "gold", "later", "expires"]

/** What became of jobs wrongly, when all leases have ended and workers of every kind have claimed all they are given. */
const wrongInTheEnd = Effect.fnUntraced(function* (
  { name, queue, run, settleAll, time }: Part,
  ids: ReadonlyArray<string>
) {
  const now = yield* Effect.forEach(ids, (id) => queue.get(jobId(id)))
  // One that is gone had been finished for long.
  const finished = new Set(
    ids.filter((_, at) => Option.match(now[at]!, { onNone: () => true, onSome: (job) => isFinished(job.status) }))
  )
  yield* settleAll
  // As the worker does that the operations claim for: a lease that could not be written is written by it.
  yield* run(renewBy("w3", fence("waits", "n5")))
  yield* time.pass("2 hours")
  for (let tick = 0; tick < 3; tick++) yield* run(callOf(JobCommands.tick, { ...times, tickMs: "999999999" }))
  yield* settleAll
  const given: Array<string> = []
  const wrong: Array<string> = []
  for (const capabilities of [denies, { job_types: ["x", "z"], labels: { tier: "gold" } }]) {
    const jobs = yield* queue.claim({
      worker_id: worker("last"),
      capabilities,
      capacity: 100,
      limit: 100,
      nonce: "last"
    })
    given.push(...jobs.map(({ id }) => String(id)))
    wrong.push(...jobs.flatMap((job) => (matches(job, capabilities) ? [] : [`${job.id} is given to one it denies`])))
  }
  const left = ids.filter((id) => !given.includes(id) && !finished.has(id) && id !== "expires")
  const mayBeGone = new Set(["done", "failed", "expires"])
  return [
    ...wrong,
    ...ids.filter((id, at) => Option.isNone(now[at]!) && !mayBeGone.has(id)).map((id) => `${id} is gone`),
    ...violations(yield* queueState(name)),
    ...left.map((id) => `${id} is lost`),
    ...given.flatMap((id, at) => (given.indexOf(id) < at ? [`${id} is given twice`] : [])),
    ...given.flatMap((id) => (finished.has(id) ? [`${id} had ended, and is given`] : []))
  ]
})

const changed = (before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): ReadonlyArray<string> =>
  [...new Set([...before.keys(), ...after.keys()])].filter((key) => before.get(key) !== after.get(key)).toSorted()

/** A filled queue on a Redis of its own, and another one to which it can be copied again and again. */
const withCopies = <A, E>(
  test: (template: Part, copy: Part, copied: Effect.Effect<unknown, RedisFailure>) => Effect.Effect<A, E, Redis.Redis>
) =>
  Effect.gen(function* () {
    const { url } = yield* startRedis({ appendOnly: false })
    yield* Effect.gen(function* () {
      const redis = yield* Redis.Redis
      const [template, copy] = yield* Effect.all([part("template"), part("copy")])
      yield* fill(template)
      yield* test(template, copy, redis.send("EVAL", [copyKeys, "2", template.prefix, copy.prefix]))
    }).pipe(Effect.provide(queueOn(url)))
  })

it.live(
  "noHalfAppliedCall: a key that holds something else",
  () =>
    withCopies(
      Effect.fnUntraced(function* (template, copy, copied) {
        const redis = yield* Redis.Redis
        const found: Array<string> = []
        let stopped = 0
        for (const [operation, call] of Object.entries(operations)) {
          yield* copied
          const before = yield* copy.stored
          yield* copy.run(call)
          const ids = operation.startsWith("submit") || operation === "revive" ? [...submitted, "new"] : submitted
          assert.deepStrictEqual([...(yield* wrongInTheEnd(copy, ids))], [], operation)
          yield* copied
          yield* copy.run(call)
          for (const key of new Set([...before.keys(), ...(yield* copy.stored).keys()])) {
            yield* copied
            yield* redis.send("EVAL", [spoil, "1", `${copy.prefix}:${key}`])
            const spoilt = yield* copy.stored
            const failure = yield* Effect.exit(copy.run(call))
            if (Exit.isSuccess(failure)) continue
            stopped++
            const left = changed(spoilt, yield* copy.stored)
            yield* redis.send("DEL", [`${copy.prefix}:${key}`])
            yield* redis.send("COPY", [`${template.prefix}:${key}`, `${copy.prefix}:${key}`])
            const repeated = yield* Effect.exit(copy.run(call))
            const wrong = Exit.isFailure(repeated) ? ["it fails again"] : yield* wrongInTheEnd(copy, ids)
            if (wrong.length === 0) continue
            found.push(`${operation}, ${key} spoilt, which changed ${left.join()}: ${wrong.join("; ")}`)
          }
        }
        assert.deepStrictEqual(found, [])
        assert.isAbove(stopped, 100)
      })
    ),
  120_000
)

it.live(
  "noHalfAppliedCall: arguments that are none",
  () =>
    withCopies(
      Effect.fnUntraced(function* (_, copy, copied) {
        const found: Array<string> = []
        let refused = 0
        for (const [operation, call] of Object.entries(operations)) {
          for (const [at, arg] of call.args.entries()) {
            for (const args of [
              call.args.toSpliced(at, 1, "none"),
              call.args.toSpliced(at, 1, ""),
              call.args.slice(0, at)
            ]) {
              yield* copied
              const before = yield* copy.stored
              const result = yield* Effect.exit(copy.run({ ...call, args }))
              if (Exit.isSuccess(result)) continue
              refused++
              const left = changed(before, yield* copy.stored)
              if (left.length === 0) continue
              found.push(`${operation} with ${JSON.stringify(args)} for ${arg} changed ${left.join()}`)
            }
          }
        }
        assert.deepStrictEqual(found, [])
        assert.isAbove(refused, 20)
      })
    ),
  120_000
)
