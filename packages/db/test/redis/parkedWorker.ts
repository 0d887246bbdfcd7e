/** A process with one idle worker, to be stopped by tests: it parks, and says what it is given when it is woken. */
import { Effect, Layer, Queue, Redacted } from "effect"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import { QueueSettings } from "@muster/core/job/QueueSettings"
import { WorkerId } from "@muster/core/worker/Worker"
import * as Redis from "@muster/db/redis/Redis"
import * as RedisFunctions from "@muster/db/redis/RedisFunctions"
import * as RedisJobQueue from "@muster/db/redis/RedisJobQueue"

const [url = "", name = "", worker_id = ""] = process.argv.slice(2)

const run = Effect.gen(function* () {
  const queue = yield* JobQueue
  const id = WorkerId.make(worker_id)
  const signals = yield* queue.signals(id)
  for (let claims = 1; ; claims++) {
    const jobs = yield* queue.claim({
      worker_id: id,
      capabilities: { job_types: ["simulation"] },
      capacity: 10,
      limit: 1,
      nonce: `${worker_id}-${claims}`
    })
    console.log(jobs.length === 0 ? "is parked" : `was given ${jobs.map((job) => job.id).join()}`)
    yield* Queue.take(signals)
  }
}).pipe(
  Effect.scoped,
  Effect.provide(
    RedisJobQueue.layer.pipe(
      Layer.provide(RedisFunctions.layer),
      Layer.provide(Redis.layer(Redacted.make(url))),
      Layer.provide(
        Layer.effect(
          QueueSettings,
          Effect.map(Effect.service(QueueSettings), (all) => ({ ...all, name }))
        )
      )
    )
  )
)

await Effect.runPromise(run)
