/**
 * Explaining a waiting job: 100,000 jobs wait in Redis, 5,000 workers of 300 kinds are registered in PostgreSQL. Beside it
 * the least that any answer needs of these stores, one round trip to each, in turns with the same loop.
 *
 * Jobs are picked evenly from all verdicts there are to tell: workers that match have room, are full, paused, offline, or
 * do not exist.
 */
import type { Explanation } from "@muster/core/job/Explanation"
import * as JobArchive from "@muster/core/job/internal/JobArchive"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import type { JobRequest } from "@muster/core/job/Job"
import { explainJob } from "@muster/core/job/JobExplanation"
import { HeartbeatStore } from "@muster/core/worker/internal/HeartbeatStore"
import { WorkerRepository } from "@muster/core/worker/internal/WorkerRepository"
import type { Capabilities } from "@muster/core/worker/Worker"
import * as PgHeartbeatStore from "@muster/db/postgres/PgHeartbeatStore"
import * as PgMigrations from "@muster/db/postgres/PgMigrations"
import * as PgWorkerRepository from "@muster/db/postgres/PgWorkerRepository"
import * as Postgres from "@muster/db/postgres/Postgres"
import { Effect, Layer, ManagedRuntime, Redacted } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { startPostgres } from "../tools/servers/Postgres.ts"
import { startRedis } from "../tools/servers/Redis.ts"
import { Meter } from "./broker/Meter.ts"
import {
  durability,
  fill,
  inLanes,
  introduce,
  job,
  jobId,
  jobType,
  newNonce,
  openQueue,
  workerId
} from "./broker/QueueUnderTest.ts"
import { type Figure, median, quantile, type Report } from "./Report.ts"

export const flags = { jobs: 100_000, workers: 5_000, kinds: 300, classes: 1_000, samples: 1_000, rounds: 3, lanes: 16 }
type Flags = typeof flags

/** A tenth of the kinds has one of these fates; the others have room. */
const fates = ["full", "paused", "offline", "busy-or-free"] as const

const offer = (n: number, kinds: number): Capabilities => ({
  job_types: [jobType],
  hardware: { gpu_count: 1, gpu_memory_gb: 8 + (n % 5) * 8 },
  models: Array.from({ length: 20 }, (_, at) => `model-${(n + at) % kinds}`),
  labels: { kind: `k${n}`, tier: n % 2 === 0 ? "gold" : "silver", region: "bench" }
})

const fateOf = (kind: number): (typeof fates)[number] => fates[Math.min(3, kind % 10)]!

/** A class for each kind, some that many kinds match, and some that none does. */
const request = (n: number, { classes, kinds }: Flags): JobRequest => {
  const at = n % classes
  if (at % 10 === 0) return job({ service_required: `${jobType}-${at}` })
  if (at % 10 === 1) return job({ requirements: { hardware: { gpu_memory_gb: 64 }, labels: { kind: `k${at}` } } })
  if (at % 10 < 5) return job({ requirements: { models: [`model-${at % kinds}`], labels: { tier: "gold" } } })
  return job({ requirements: { labels: { kind: `k${Math.floor(at / 10) % kinds}` } } })
}

interface Samples {
  readonly all: Array<number>
  readonly byVerdict: Map<string, Array<number>>
}

const registry = (url: string) =>
  Layer.mergeAll(PgWorkerRepository.layer, PgHeartbeatStore.layer).pipe(
    Layer.provideMerge(Postgres.layer({ url: Redacted.make(url) }))
  )

const registerAll = ({ kinds, workers }: Flags) =>
  Effect.gen(function* () {
    const repository = yield* WorkerRepository
    const heartbeats = yield* HeartbeatStore
    yield* inLanes(
      workers,
      16,
      Effect.fnUntraced(function* (n) {
        const id = workerId(`w-${n}`)
        const capabilities = offer(n % kinds, kinds)
        const about = { machine_id: `m-${n}`, worker_type: null, process_name: null, instance_id: null }
        yield* repository.insert({
          id,
          region: "bench",
          capacity: 1,
          capabilities,
          unhealthy_job_types: [],
          connectors: [],
          ...about
        })
        const fate = fateOf(n % kinds)
        if (fate === "paused") yield* repository.setStanding(id, "paused")
        if (fate === "offline") yield* repository.move(id, "pending", "offline")
        else yield* heartbeats.record(id)
      })
    )
    yield* repository.activatePending
  })

export const run = async (asked: Flags): Promise<Report> => {
  const [postgres, redis] = await Promise.all([startPostgres({ durable: true }), startRedis()])
  const meter = new Meter(redis.url)
  const opened = await openQueue(redis.url, "explain")
  const runtime = ManagedRuntime.make(
    Layer.mergeAll(registry(postgres.url), JobArchive.layerNone, Layer.succeed(JobQueue, opened.queue))
  )
  await runtime.runPromise(PgMigrations.run)
  await runtime.runPromise(registerAll(asked))
  await runtime.runPromise(Effect.flatMap(SqlClient, (sql) => sql`VACUUM ANALYZE`))
  await introduce(
    opened,
    Array.from({ length: asked.kinds }, (_, n) => offer(n, asked.kinds))
  )
  await fill(opened, asked.jobs, (n) => ({ id: `j-${n}`, request: request(n, asked) }))
  // Workers that are to be full hold a job.
  await opened.run(
    inLanes(asked.workers, 16, (n) =>
      fateOf(n % asked.kinds) === "full"
        ? opened.queue.claim({
            worker_id: workerId(`w-${n}`),
            capabilities: offer(n % asked.kinds, asked.kinds),
            capacity: 1,
            limit: 1,
            nonce: newNonce()
          })
        : Effect.void
    )
  )

  const samples: Samples = { all: [], byVerdict: new Map() }
  const limits: Array<number> = []
  const loads: Array<number> = []
  let left = 0

  const explainOne = (into: Array<number>) =>
    Effect.gen(function* () {
      const id = jobId(`j-${Math.floor(Math.random() * asked.jobs)}`)
      const from = performance.now()
      const answer: Explanation = yield* explainJob(id)
      const took = performance.now() - from
      // Those that a worker took to be full do not wait.
      if (answer.verdict === null) return
      into.push(took)
      left += answer.workers_left_out
      if (into !== samples.all) return
      const ofVerdict = samples.byVerdict.get(answer.verdict) ?? []
      ofVerdict.push(took)
      samples.byVerdict.set(answer.verdict, ofVerdict)
    })

  const least = Effect.gen(function* () {
    const sql = yield* SqlClient
    const from = performance.now()
    yield* Effect.promise(() => meter.redis.hget("none", "none"))
    yield* sql`SELECT 1`
    limits.push(performance.now() - from)
  })

  for (let round = 0; round <= asked.rounds; round++) {
    await runtime.runPromise(Effect.replicateEffect(least, asked.samples, { discard: true }))
    await runtime.runPromise(Effect.replicateEffect(explainOne(samples.all), asked.samples, { discard: true }))
    await runtime.runPromise(inLanes(asked.samples, asked.lanes, () => explainOne(loads)))
    if (round > 0) continue
    // The first round warms up.
    for (const list of [samples.all, limits, loads]) list.length = 0
    samples.byVerdict.clear()
  }
  await opened.close()
  await runtime.dispose()
  meter.close()
  if (left === 0) throw new Error("no worker was left out: the fleet was not there")

  const figures: Array<Figure> = [
    { name: "one explanation, p50", value: median(samples.all), unit: "ms" },
    { name: "one explanation, p99", value: quantile(samples.all, 0.99), unit: "ms", aim: { atMost: 50 } },
    { name: "one round trip to Redis and one to PostgreSQL, p50", value: median(limits), unit: "ms" },
    { name: "one round trip to Redis and one to PostgreSQL, p99", value: quantile(limits, 0.99), unit: "ms" },
    { name: "p50 : the two round trips", value: median(samples.all) / median(limits), unit: "ratio" },
    { name: `${asked.lanes} at once, p50`, value: median(loads), unit: "ms" },
    { name: `${asked.lanes} at once, p99`, value: quantile(loads, 0.99), unit: "ms" },
    ...[...samples.byVerdict].flatMap(([verdict, took]): ReadonlyArray<Figure> => [
      { name: `verdict ${verdict}, p50`, value: median(took), unit: "ms" },
      { name: `verdict ${verdict}, p99`, value: quantile(took, 0.99), unit: "ms" }
    ])
  ]
  return {
    bench: "explain",
    setting: { ...asked, redis: durability, postgres: "fsync on, same machine", answer: "the use case, without HTTP" },
    figures
  }
}
