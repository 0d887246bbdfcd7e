import { assert, describe, it } from "@effect/vitest"
import { type FinishedJob, JobArchive } from "@muster/core/job/internal/JobArchive"
import { QueueSettings } from "@muster/core/job/QueueSettings"
import * as PgJobArchive from "@muster/db/postgres/PgJobArchive"
import * as PgMigrations from "@muster/db/postgres/PgMigrations"
import * as Postgres from "@muster/db/postgres/Postgres"
import { Effect, Layer, Redacted } from "effect"
import { freshDatabaseUrl } from "../../../../tools/servers/testServers.ts"
import * as JobArchiveSuite from "../../../core/test/job/JobArchiveSuite.ts"

const archiveAt = (url: string) =>
  PgJobArchive.layer.pipe(Layer.provideMerge(Postgres.layer({ url: Redacted.make(url) })))

/** An archive in a database that goes with the layer. */
const archive = Layer.unwrap(Effect.map(freshDatabaseUrl, archiveAt)).pipe(
  Layer.tap((context) => Effect.provideContext(PgMigrations.run, context))
)

JobArchiveSuite.suite("postgres", archive)

describe("the archive on PostgreSQL", () => {
  it.effect("keeps the history of several queues apart", () =>
    Effect.gen(function* () {
      const url = yield* freshDatabaseUrl
      const defaults = yield* QueueSettings
      const of = <A, E>(name: string, use: Effect.Effect<A, E, JobArchive>) =>
        Effect.provide(use, archiveAt(url), { local: true }).pipe(
          Effect.provideService(QueueSettings, { ...defaults, name })
        )
      yield* Effect.provide(PgMigrations.run, Postgres.layer({ url: Redacted.make(url) }))
      const store = (job: FinishedJob) => Effect.flatMap(JobArchive, (archive) => archive.store([job]))
      const ids = Effect.flatMap(JobArchive, (archive) => archive.list({ limit: 10 })).pipe(
        Effect.map((found) => found.map(({ job }) => [String(job.id), job.status]))
      )
      yield* of("one", store(JobArchiveSuite.finished("a", 1)))
      yield* of("two", store(JobArchiveSuite.finished("a", 1, { status: "failed" })))
      assert.deepStrictEqual(yield* of("one", ids), [["a", "completed"]])
      assert.deepStrictEqual(yield* of("two", ids), [["a", "failed"]])
      assert.deepStrictEqual(yield* of("three", ids), [])
    })
  )
})
