/** A process that archives, as a server does beside all else. */
import { EventLog } from "@muster/core/event/internal/EventLog"
import * as Archiver from "@muster/core/job/Archiver"
import * as ArchiverState from "@muster/core/job/ArchiverState"
import { JobArchive } from "@muster/core/job/internal/JobArchive"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import { QueueSettings } from "@muster/core/job/QueueSettings"
import * as PgJobArchive from "@muster/db/postgres/PgJobArchive"
import * as PgMigrations from "@muster/db/postgres/PgMigrations"
import * as Postgres from "@muster/db/postgres/Postgres"
import * as Redis from "@muster/db/redis/Redis"
import * as RedisEventLog from "@muster/db/redis/RedisEventLog"
import * as RedisFunctions from "@muster/db/redis/RedisFunctions"
import * as RedisJobQueue from "@muster/db/redis/RedisJobQueue"
import { Effect, Layer, ManagedRuntime, Redacted, Ref, References } from "effect"
import { now, serve } from "./Part.ts"

interface Where {
  readonly url: string
  readonly databaseUrl: string
  readonly queue: string
}

/** When it was done with everything, on the clock of the machine, and what it had done by then. */
export interface Archived {
  readonly at: number
  readonly jobs: number
  readonly events: number
  /** Processor time of this process since it began, in µs. */
  readonly cpu: number
}

const stores = ({ databaseUrl, url }: Where) =>
  Layer.mergeAll(
    Layer.merge(RedisJobQueue.layer, RedisEventLog.layer).pipe(
      Layer.provide(RedisFunctions.layer.pipe(Layer.provideMerge(Redis.layer(Redacted.make(url)))))
    ),
    PgJobArchive.layer.pipe(Layer.provideMerge(Postgres.layer({ url: Redacted.make(databaseUrl) }))),
    ArchiverState.layer
  )

const layerOf = (where: Where) =>
  Archiver.layer.pipe(
    Layer.provideMerge(stores(where)),
    Layer.provideMerge(
      Layer.effect(
        QueueSettings,
        Effect.map(QueueSettings, (defaults) => ({ ...defaults, name: where.queue }))
      )
    ),
    Layer.provideMerge(Layer.succeed(References.MinimumLogLevel, "Warn"))
  )

let runtime: ManagedRuntime.ManagedRuntime<Layer.Success<ReturnType<typeof stores>>, unknown> | undefined
let cpu = process.cpuUsage()

const current = () => {
  if (runtime === undefined) throw new Error("nothing is archived")
  return runtime
}

const isDone = Effect.gen(function* () {
  const { unarchived } = yield* (yield* JobQueue).counts
  return unarchived === 0 && (yield* (yield* EventLog).end) === (yield* (yield* JobArchive).cursor)
})

const handlers = {
  migrate: async (where: Where) => {
    const layer = Postgres.layer({ url: Redacted.make(where.databaseUrl) })
    await Effect.runPromise(Effect.provide(PgMigrations.run, layer))
  },
  begin: async (where: Where) => {
    runtime = ManagedRuntime.make(layerOf(where))
    cpu = process.cpuUsage()
    await runtime.runPromise(Effect.void)
  },
  done: async (_: null): Promise<Archived> => {
    const look = Effect.repeat(Effect.delay(isDone, "20 millis"), { until: (done) => done })
    await current().runPromise(look)
    const at = now()
    const report = await current().runPromise(Effect.flatMap(ArchiverState.ArchiverState, Ref.get))
    const { system, user } = process.cpuUsage(cpu)
    return { at, jobs: report.jobs_archived, events: report.events_archived, cpu: system + user }
  },
  end: async (_: null) => {
    await runtime?.dispose()
    runtime = undefined
  }
}
export type ArchiverPart = typeof handlers

serve(handlers)
