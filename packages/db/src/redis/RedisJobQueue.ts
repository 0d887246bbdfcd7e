/**
 * The queue on Redis: each method is one call of a Lua function, so the promises of the port hold for any number of
 * processes. Methods over many items go in calls of at most 100 and are atomic per call.
 */
import { Name } from "@muster/core/Identifier"
import { InvalidStateTransition } from "@muster/core/InvalidStateTransition"
import { asSubmitted, type Fence, type Job, type JobId, type JobStatus } from "@muster/core/job/Job"
import { JobAlreadyExists, JobNotFound, LeaseLost, StorageError } from "@muster/core/job/JobErrors"
import {
  type ClaimRequest,
  JobQueue,
  refuseDuplicates,
  Standing,
  type Submission,
  type Submitted
} from "@muster/core/job/internal/JobQueue"
import { longestPriorityStep, QueueSettings } from "@muster/core/job/QueueSettings"
import { WorkerId } from "@muster/core/worker/Worker"
import { Array, Duration, Effect, Layer, Schema } from "effect"
import * as CoalescedCalls from "./CoalescedCalls.ts"
import * as LogLimit from "./LogLimit.ts"
import * as MemoryLimit from "./MemoryLimit.ts"
import * as Inbox from "./Inbox.ts"
import * as JobCommands from "./JobCommands.ts"
import { Redis } from "./Redis.ts"
import * as RedisArchiving from "./RedisArchiving.ts"
import { inMethod, unexpected } from "./RedisFailure.ts"
import { over, queuePrefix, RedisFunctions } from "./RedisFunctions.ts"
import * as RedisServer from "./RedisServer.ts"
import * as RedisViews from "./RedisViews.ts"
import * as Settling from "./Settling.ts"

/** Jobs of a batch that one call takes: the bound of lua/includes/queue.lua for what is cheap. */
const perCall = 64
/** Workers or leases that one call looks at; less is done with each. */
const lookedAtPerCall = 100
/** Text that one call takes of a batch, in characters, so that other calls need not wait long for it. */
const textPerCall = 1024 * 1024
/** Whole milliseconds, as the functions take them; a longer time than any clock holds is that long. */
const millis = (duration: Duration.Duration): string =>
  String(Math.min(Number.MAX_SAFE_INTEGER, Math.ceil(Duration.toMillis(duration))))

const storage = inMethod("JobQueue")

const refuse = (operation: string, detail: string): StorageError =>
  new StorageError({ operation: `JobQueue.${operation}`, detail, unavailable: false, cause: new Error(detail) })

const otherStep = (operation: string, noted: string, ours: string): StorageError =>
  refuse(
    operation,
    `the queue was made with a priority step of ${noted} ms, which is fixed; this process has ${ours} ms`
  )

const decodeStandings = Schema.decodeUnknownEffect(Schema.Array(Schema.Tuple([WorkerId, Standing])))

const lost = (fence: Fence): LeaseLost => new LeaseLost({ id: fence.job_id, attempt: fence.attempt })

/** A batch as calls take it: in order, each job in one of them. */
const inCalls = (jobs: ReadonlyArray<Submission>): ReadonlyArray<ReadonlyArray<JobCommands.WrittenSubmission>> => {
  const calls: Array<Array<JobCommands.WrittenSubmission>> = []
  let length = 0
  for (const job of jobs.map(JobCommands.written)) {
    const last = calls.at(-1)
    length += job.text.length
    if (last !== undefined && last.length < perCall && length <= textPerCall) {
      last.push(job)
    } else {
      calls.push([job])
      length = job.text.length
    }
  }
  return calls
}

/** The settings, as long as the queue can work with them. */
const checkedSettings = Effect.gen(function* () {
  const settings = yield* QueueSettings
  const step = Duration.toMillis(settings.priorityStep)
  if (!Schema.is(Name)(settings.name)) return yield* refuse("open", "the name of the queue is not a valid name")
  if (!Number.isInteger(step) || step < 0 || step > Duration.toMillis(longestPriorityStep)) {
    return yield* refuse("open", "the priority step is not a whole number of milliseconds up to 100 years")
  }
  return settings
})

const make = Effect.gen(function* () {
  const settings = yield* checkedSettings
  const redis = yield* Redis
  const queue = queuePrefix(settings.name)
  const settling = Settling.make(yield* RedisFunctions, queue)
  const inbox = yield* Inbox.make(redis, queue, (send) => JobCommands.claimWoken(settling.over(over(send)), queue))
  const functions = yield* CoalescedCalls.make(settling.calls, queue)
  const memory = yield* MemoryLimit.make(redis)
  const limit = yield* LogLimit.make
  const refuseWhenFull = Effect.andThen(memory.refuseWhenShort, limit.refuseWhenOverfull)

  /** A lease is counted from when a claim was sent, which for one that stands is a look ago. */
  const canStand = Duration.isGreaterThanOrEqualTo(settings.lease, Duration.times(Inbox.longestLook, 4))
  let claims = 0

  const leaseMs = millis(settings.lease)
  const priorityStepMs = millis(settings.priorityStep)
  const bounds = { leaseMs, retentionMs: millis(settings.retention), tickMs: millis(settings.tickInterval) }

  const submit = JobCommands.submit(functions, queue)
  const checkMany = JobCommands.checkMany(functions, queue)
  const submitMany = JobCommands.submitMany(functions, queue)
  const claim = JobCommands.claim(functions, queue)
  const start = JobCommands.start(functions, queue)
  const progress = JobCommands.progress(functions, queue)
  const complete = JobCommands.complete(functions, queue)
  const fail = JobCommands.fail(functions, queue)
  const giveBack = JobCommands.giveBack(functions, queue)
  const renew = JobCommands.renew(functions, queue)
  const cancel = JobCommands.cancel(functions, queue)
  const retry = JobCommands.retry(functions, queue)
  const retryFailed = JobCommands.retryFailed(functions, queue)
  const giveBackAll = JobCommands.giveBackAll(functions, queue)
  const tick = JobCommands.tick(functions, queue)
  const ping = JobCommands.ping(functions, queue)
  const leaveIdle = JobCommands.leaveIdle(functions, queue)
  const setStanding = JobCommands.setStanding(functions, queue)
  const standings = JobCommands.standings(functions, queue)

  /** A report that only says whether it was heard. */
  const heard = (operation: string, fence: Fence, reply: ReturnType<typeof start>) =>
    storage(operation)(Effect.flatMap(reply, (said) => (said === "ok" ? Effect.void : Effect.fail(lost(fence)))))

  /** An order to move a job by hand, to the status it names. */
  const moved = (operation: string, id: JobId, to: JobStatus, reply: ReturnType<typeof cancel>) =>
    Effect.flatMap(reply, (said): Effect.Effect<Job, JobNotFound | InvalidStateTransition> => {
      switch (said[0]) {
        case "job":
          return Effect.succeed(said[1])
        case "not_found":
          return Effect.fail(new JobNotFound({ id }))
        case "invalid_transition":
          return Effect.fail(new InvalidStateTransition({ subject: "job", id, from: said[1], to }))
      }
    }).pipe(storage(operation))

  const claimNext = Effect.fnUntraced(function* (request: ClaimRequest) {
    const { id: signature, machine } = Settling.claimSignature(request.capabilities)
    const { worker_id } = request
    inbox.standing.end(worker_id)
    const stands = request.standing === true && canStand && inbox.isListening(worker_id)
    const token = stands ? String(++claims) : ""
    const asked = { ...request, signature, machine, inbox: inbox.id, leaseMs, token }
    const claimed: Array<Job> = []
    for (;;) {
      // What this claim itself was given before must not be given again by its next call.
      const again = request.again === true && claimed.length === 0
      const reply = yield* claim({ ...asked, again, limit: request.limit - claimed.length })
      switch (reply[0]) {
        case "unknown":
          yield* settling.introduce(reply[1], request.capabilities)
          break
        case "settling":
          yield* settling.settleSignature(reply[1])
          break
        case "given": {
          const [, ...jobs] = reply
          return jobs
        }
        case "jobs": {
          const [, more, jobs] = reply
          claimed.push(...jobs)
          if (stands && !more && claimed.length === 0) inbox.standing.stand({ ...asked, again: false })
          if (!more) return claimed as ReadonlyArray<Job>
        }
      }
    }
  })

  const look = (operation: string, standby: boolean) =>
    Effect.flatMap(tick({ ...bounds, standby }), ([more, forgotten, promoted, expired, lost, waiting, bytes]) => {
      limit.note(bytes)
      return Effect.as(settling.settle(waiting), { promoted, expired, lost, forgotten, more: more === "1" })
    }).pipe(Effect.tap(standby ? Effect.void : memory.look), storage(operation))

  return JobQueue.of({
    ...RedisViews.make(functions, queue),
    ...RedisArchiving.make(functions, queue, {
      priorityStepMs,
      refuseWhenFull,
      otherStep: (operation, noted) => otherStep(operation, noted, priorityStepMs)
    }),

    submit: (id, request) =>
      Effect.flatMap(
        Effect.andThen(refuseWhenFull, submit({ ...JobCommands.written({ id, request }), priorityStepMs })),
        (reply): Effect.Effect<{ readonly job: Job; readonly created: boolean }, JobAlreadyExists | StorageError> => {
          switch (reply[0]) {
            case "pending":
            case "scheduled":
              return Effect.succeed({ job: asSubmitted(id, request, reply[0], reply[1]), created: true })
            case "known":
              return Effect.succeed({ job: { ...request, ...reply[1] }, created: false })
            case "already_exists":
              return Effect.fail(new JobAlreadyExists({ id }))
            case "priority_step":
              return Effect.fail(otherStep("submit", reply[1], priorityStepMs))
          }
        }
      ).pipe(storage("submit")),

    submitMany: Effect.fnUntraced(function* (jobs) {
      yield* refuseDuplicates(jobs)
      yield* refuseWhenFull
      const calls = inCalls(jobs)
      // A single call checks all of its jobs itself.
      for (const call of calls.length > 1 ? calls : []) {
        const checked = yield* checkMany(call)
        if (checked[0] === "already_exists") return yield* new JobAlreadyExists({ id: checked[1] })
      }
      const submitted: Array<Submitted> = []
      for (const call of calls) {
        const reply = yield* submitMany({ jobs: call, priorityStepMs })
        if (reply[0] === "already_exists") return yield* new JobAlreadyExists({ id: reply[1] })
        if (reply[0] === "priority_step") return yield* otherStep("submitMany", reply[1], priorityStepMs)
        const [, created] = reply
        submitted.push(...call.map(({ id }, at) => ({ id, created: created[at] === "1" })))
      }
      return submitted
    }, storage("submitMany")),

    claim: (request) =>
      request.capabilities.job_types.length === 0 ? Effect.succeed([]) : storage("claim")(claimNext(request)),

    signals: inbox.signals,

    leaveIdle: (worker) =>
      Effect.suspend(() => {
        inbox.standing.end(worker)
        // What a claim of its was given before is to be heard before it is gone.
        return Effect.flatMap(leaveIdle(worker), ([was]) =>
          was === "left" ? Effect.void : inbox.standing.landed(worker)
        )
      }).pipe(storage("leaveIdle")),

    setStanding: (worker, standing) => Effect.asVoid(storage("setStanding")(setStanding({ worker, standing }))),

    standings: Effect.flatMap(standings(), (stored) =>
      Effect.mapError(decodeStandings(Array.chunksOf(stored, 2)), unexpected)
    ).pipe(
      Effect.map((pairs): ReadonlyMap<WorkerId, Standing> => new Map(pairs)),
      storage("standings")
    ),

    start: (fence) => heard("start", fence, start(fence)),

    progress: (fence, said) => heard("progress", fence, progress({ fence, progress: said, isEvent: !limit.isFull() })),

    complete: (fence, result) =>
      Effect.try({
        try: () => JSON.stringify(result) ?? "null",
        catch: (cause) =>
          new StorageError({
            operation: "JobQueue.complete",
            detail: "the result cannot be written as JSON",
            unavailable: false,
            cause
          })
      }).pipe(Effect.flatMap((text) => heard("complete", fence, complete({ fence, result: text })))),

    fail: (fence, error, retry) =>
      heard(
        "fail",
        fence,
        fail({
          fence,
          error,
          delayMs: retry === null ? "" : millis(retry.delay),
          usesRetry: retry?.usesRetry ?? false,
          elsewhere: retry?.elsewhere ?? false
        })
      ),

    giveBack: (fence) => heard("giveBack", fence, giveBack(fence)),

    renew: (request) => {
      const { fences } = request
      const chunks = fences.length === 0 ? [[]] : Array.chunksOf(fences, lookedAtPerCall)
      const all = chunks.length === 1
      return Effect.forEach(chunks, (chunk) =>
        Effect.map(renew({ ...request, fences: chunk, all, leaseMs, inbox: inbox.id }), (holds) =>
          chunk.filter((_, at) => holds[at] !== "1")
        )
      ).pipe(
        Effect.map((lost) => lost.flat()),
        storage("renew")
      )
    },

    cancel: (id) => moved("cancel", id, "cancelled", cancel(id)),

    retry: (id) => moved("retry", id, "pending", retry(id)),

    retryFailed: Effect.fnUntraced(function* (filter) {
      let total = 0
      let before = ""
      let after = ""
      for (;;) {
        const [count, began, next] = yield* retryFailed({ ...filter, before, after })
        total += count
        if (next === "") return total
        before = began
        after = next
      }
    }, storage("retryFailed")),

    giveBackAll: Effect.fnUntraced(function* (worker) {
      const returned: Array<JobId> = []
      for (;;) {
        const [more, ...ids] = yield* giveBackAll(worker)
        returned.push(...ids)
        if (more === "0") return returned
      }
    }, storage("giveBackAll")),

    tick: look("tick", false),
    standbyTick: look("standbyTick", true),

    ping: Effect.flatMap(ping(priorityStepMs), (reply) =>
      reply[0] === "ok" ? Effect.void : Effect.fail(otherStep("ping", reply[1], priorityStepMs))
    ).pipe(
      Effect.andThen(memory.read),
      Effect.andThen(refuseWhenFull),
      storage("ping"),
      Effect.andThen(Effect.provideService(RedisServer.describe, Redis, redis)),
      Effect.asVoid
    )
  })
})

/** Fails only for settings that no queue can have; Redis may be away. */
export const layer: Layer.Layer<JobQueue, StorageError, Redis | RedisFunctions> = Layer.effect(JobQueue, make)
