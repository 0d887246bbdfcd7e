/**
 * `waiterAlwaysEnds`: whoever waits for a job learns its end, whatever happens to the job and to the reading of the log
 * in between. Random stories, each told to the end.
 */
import { assert, it } from "@effect/vitest"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import { type Fence, isFinished, type Job, type JobError } from "@muster/core/job/Job"
import * as JobEnd from "@muster/core/job/JobEnd"
import { QueueSettings } from "@muster/core/job/QueueSettings"
import { Arbitrary, Duration, Effect, Fiber, Schema } from "effect"
import { TestClock } from "effect/testing"
import { claim, jobId, type QueueLayer, settings, submit } from "../job/QueueTest.ts"
import { type Feed, feedOn, LogSwitch, until } from "./FeedTest.ts"

const ids = ["a", "b", "c"] as const

const Step = Schema.Literals([
  "await a",
  "await b",
  "await c",
  "claim",
  "claim",
  "start",
  "progress",
  "complete",
  "fail",
  "retry",
  "give back",
  "cancel a",
  "retry all",
  "cut",
  "mute",
  "mend",
  "mend",
  "lose",
  "pass 1 s",
  "pass 20 s",
  "pass 60 s",
  "yield"
])
type Step = typeof Step.Type

const error: JobError = { kind: "Rejected", message: "no" }
const again = { delay: Duration.zero, usesRetry: false }

/** Lets time pass until a waiter has ended. A store takes its own time besides, in which more may pass. */
const endOf = Effect.fnUntraced(function* <E>(waiter: Fiber.Fiber<Job, E>) {
  yield* until(
    "the waiter ends",
    Effect.andThen(
      TestClock.adjust("5 seconds"),
      Effect.sync(() => waiter.pollUnsafe() !== undefined)
    )
  )
  return yield* Fiber.join(waiter)
})

const follow = Effect.fnUntraced(function* (steps: ReadonlyArray<Step>) {
  const queue = yield* JobQueue
  const broken = yield* LogSwitch
  const held: Array<Fence> = []
  for (const id of ids) yield* submit(id)
  const wait = (id: string) => Effect.forkScoped(JobEnd.awaitJob(jobId(id)), { startImmediately: true })
  const waiters = [yield* wait("a")]

  const report = (act: (fence: Fence) => Effect.Effect<unknown, unknown>, ends: boolean) => {
    const fence = ends ? held.shift() : held[0]
    return fence === undefined ? Effect.void : Effect.ignore(act(fence))
  }

  const run: Record<Step, Effect.Effect<unknown, unknown, Feed>> = {
    "await a": Effect.map(wait("a"), (waiter) => waiters.push(waiter)),
    "await b": Effect.map(wait("b"), (waiter) => waiters.push(waiter)),
    "await c": Effect.map(wait("c"), (waiter) => waiters.push(waiter)),
    claim: Effect.map(claim(), (claimed) => held.push(...claimed.map(({ fence }) => fence))),
    start: Effect.suspend(() => report(queue.start, false)),
    progress: Effect.suspend(() => report((fence) => queue.progress(fence, { percent: 50 }), false)),
    complete: Effect.suspend(() => report((fence) => queue.complete(fence, 1), true)),
    fail: Effect.suspend(() => report((fence) => queue.fail(fence, error, null), true)),
    retry: Effect.suspend(() => report((fence) => queue.fail(fence, error, again), true)),
    "give back": Effect.suspend(() => report(queue.giveBack, true)),
    "cancel a": Effect.ignore(queue.cancel(jobId("a"))),
    "retry all": queue.retryFailed({}),
    cut: broken.cut,
    mute: broken.mute,
    mend: broken.mend,
    lose: broken.lose,
    "pass 1 s": TestClock.adjust("1 second"),
    "pass 20 s": TestClock.adjust("20 seconds"),
    "pass 60 s": TestClock.adjust("1 minute"),
    yield: TestClock.withLive(Effect.sleep("1 millis"))
  }

  for (const step of steps) yield* run[step]
  // Every job ends; the log may stay away.
  for (const fence of held) yield* Effect.ignore(queue.complete(fence, 1))
  for (const id of ids) yield* Effect.ignore(queue.cancel(jobId(id)))
  return waiters
})

export const waiterSuite = (layer: QueueLayer, runs: number): void => {
  it.effect.prop(
    "waiterAlwaysEnds",
    { steps: Arbitrary.array(Arbitrary.schema(Step), { maxLength: 40 }) },
    ({ steps }) =>
      Effect.gen(function* () {
        const waiters = yield* follow(steps)
        for (const waiter of waiters) {
          const job = yield* endOf(waiter)
          assert.isTrue(isFinished(job.status), `${job.id} is ${job.status}`)
        }
      }).pipe(Effect.scoped, Effect.provide(feedOn(layer, 20)), Effect.provideService(QueueSettings, settings)),
    { timeout: 300_000, arbitrary: { runs } }
  )
}
