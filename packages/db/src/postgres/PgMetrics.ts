/** What PostgreSQL says of its connections: when they run out, nobody new gets in. */
import * as MetricSources from "@muster/core/diagnosis/MetricSources"
import { Duration, Effect, Layer, Metric, Schema } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import * as SqlSchema from "effect/sql/SqlSchema"
import { repository } from "./PgFailure.ts"

const patience = Duration.seconds(2)
const fresh = Duration.seconds(5)

const connections = Metric.gauge("muster_postgres_connections", {
  description: "Connections to the PostgreSQL server by who opened them: muster, all servers together, or others"
})
const limit = Metric.gauge("muster_postgres_connections_limit", {
  description: "Connections that the PostgreSQL server takes"
})

const Counts = Schema.Struct({ ours: Schema.Int, others: Schema.Int, most: Schema.Int })

export const layer: Layer.Layer<never, never, SqlClient> = Layer.effectDiscard(
  Effect.gen(function* () {
    const sql = yield* SqlClient
    const read = SqlSchema.findOne({
      Request: Schema.Void,
      Result: Counts,
      execute: () => sql`
        SELECT (count(*) FILTER (WHERE application_name = 'muster'))::int AS ours,
          (count(*) FILTER (WHERE application_name <> 'muster'))::int AS others,
          current_setting('max_connections')::int AS most
        FROM pg_stat_activity WHERE backend_type = 'client backend'`
    })
    const counts = yield* Effect.cachedWithTTL(repository("PgMetrics.read", patience)(read()), fresh)
    const update = Effect.gen(function* () {
      const { most, others, ours } = yield* counts
      yield* Metric.update(Metric.withAttributes(connections, { application: "muster" }), ours)
      yield* Metric.update(Metric.withAttributes(connections, { application: "other" }), others)
      yield* Metric.update(limit, most)
    })
    yield* MetricSources.contribute(MetricSources.sampled(update))
  })
)
