/** The queue as users run it, through its port, on a Redis that the bench started. */
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import { type Fence, type Job, type JobId, type JobRequest, request } from "@muster/core/job/Job"
import { QueueSettings } from "@muster/core/job/QueueSettings"
import type { Capabilities, WorkerId } from "@muster/core/worker/Worker"
import * as Redis from "@muster/db/redis/Redis"
import * as RedisFunctions from "@muster/db/redis/RedisFunctions"
import * as RedisJobQueue from "@muster/db/redis/RedisJobQueue"
import { Duration, Effect, Fiber, Layer, ManagedRuntime, Redacted, References } from "effect"

export interface Opened {
  readonly queue: JobQueue["Service"]
  readonly run: <A, E>(effect: Effect.Effect<A, E, JobQueue>) => Promise<A>
  /** For short work that nobody waits for. */
  readonly fork: <A, E>(effect: Effect.Effect<A, E, JobQueue>) => void
  /** For loops, which end when the queue is closed. */
  readonly keep: <A, E>(effect: Effect.Effect<A, E, JobQueue>) => void
  readonly close: () => Promise<void>
}

/** Durable as in production: benches say it in their settings. */
export const durability = "append-only file, fsync everysec, same machine"

/** Leases as long as a bench takes: renewing is not what is measured. */
export const openQueue = async (url: string, name: string, over: Partial<QueueSettings> = {}): Promise<Opened> => {
  const settings: QueueSettings = {
    name,
    priorityStep: Duration.minutes(1),
    lease: Duration.minutes(30),
    retention: Duration.days(3),
    tickInterval: Duration.seconds(1),
    ...over
  }
  const runtime = ManagedRuntime.make(
    RedisJobQueue.layer.pipe(
      Layer.provide(RedisFunctions.layer),
      Layer.provide(Redis.layer(Redacted.make(url))),
      Layer.provideMerge(Layer.succeed(QueueSettings, settings)),
      Layer.provideMerge(Layer.succeed(References.MinimumLogLevel, "Warn"))
    )
  )
  const queue = await runtime.runPromise(JobQueue)
  // As a server does.
  const ticks = Effect.forever(Effect.delay(Effect.ignore(queue.tick), "1 second"))
  const loops: Array<Fiber.Fiber<unknown, unknown>> = [runtime.runFork(ticks)]
  return {
    queue,
    run: (effect) => runtime.runPromise(effect),
    fork: (effect) => void runtime.runFork(effect),
    keep: (effect) => void loops.push(runtime.runFork(effect)),
    close: async () => {
      await Effect.runPromise(Fiber.interruptAll(loops))
      await runtime.dispose()
    }
  }
}

export const jobType = "bench"
export const jobId = (text: string) => text as JobId
export const workerId = (text: string) => text as WorkerId

export const job = (said: Partial<JobRequest> = {}): JobRequest => request({ service_required: jobType, ...said })

/** Workers of kind n, a signature of its own; every kind takes every job that asks for nothing more. */
export const kind = (n: number): Capabilities => ({ job_types: [jobType], labels: { kind: `k${n}` } })

export const newNonce = (): string => globalThis.crypto.randomUUID()

export const fenceOf = ({ attempt, id }: Job, nonce: string): Fence => ({ job_id: id, attempt, nonce })

/** Does n things, so many at once. */
export const inLanes = <E, R>(
  count: number,
  lanes: number,
  work: (n: number) => Effect.Effect<unknown, E, R>
): Effect.Effect<void, E, R> =>
  Effect.suspend(() => {
    let next = 0
    const lane = Effect.gen(function* () {
      while (next < count) yield* work(next++)
    })
    return Effect.all(
      Array.from({ length: Math.min(lanes, count) }, () => lane),
      { concurrency: "unbounded", discard: true }
    )
  })

/** Submits n jobs in batches of 100, a few batches at once: filling is not what is measured. */
export const fill = (
  { queue, run }: Opened,
  count: number,
  at: (n: number) => { readonly id: string; readonly request: JobRequest }
): Promise<void> =>
  run(
    inLanes(Math.ceil(count / 100), 8, (batch) =>
      queue.submitMany(
        Array.from({ length: Math.min(100, count - batch * 100) }, (_, n) => {
          const { id, request } = at(batch * 100 + n)
          return { id: jobId(id), request }
        })
      )
    )
  )

/** Lets the queue meet workers of these kinds, which then are busy elsewhere. */
export const introduce = ({ queue, run }: Opened, kinds: ReadonlyArray<Capabilities>): Promise<void> =>
  run(
    inLanes(
      kinds.length,
      16,
      Effect.fnUntraced(function* (n) {
        const worker_id = workerId(`introduced-${n}`)
        const nonce = newNonce()
        const capabilities = kinds[n]!
        const jobs = yield* queue.claim({ worker_id, capabilities, capacity: 1, limit: 1, nonce })
        for (const claimed of jobs) yield* queue.giveBack(fenceOf(claimed, nonce))
        yield* queue.leaveIdle(worker_id)
      })
    )
  )
