/** Liveness, readiness, metrics and diagnosis. None of them fails or hangs because a store does. */
import { BuildInfo } from "@muster/core/diagnosis/BuildInfo"
import * as Diagnosis from "@muster/core/diagnosis/Diagnosis"
import * as MetricSources from "@muster/core/diagnosis/MetricSources"
import { Overview } from "@muster/core/diagnosis/Overview"
import * as Readiness from "@muster/core/Readiness"
import { Context, Effect, Metric, Stream } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { PrometheusMetrics } from "effect/observability"
import { Api } from "../contract/Api.ts"
import * as Stores from "./Stores.ts"

export const layer = HttpApiBuilder.group(
  Api,
  "system",
  Effect.fnUntraced(function* (handlers) {
    const withStores = yield* Stores.make
    const overview = yield* Overview
    const metrics = yield* MetricSources.MetricSources
    const diagnosis = yield* Diagnosis.Diagnosis
    const { version } = yield* BuildInfo
    return handlers.handleAll({
      health: () => Effect.succeed({ status: "ok" } as const),
      ready: () =>
        Readiness.check.pipe(
          // The two answers differ in their status, and so in their types.
          Effect.map(({ ready, ...told }) => (ready ? { ready, ...told } : { ready, ...told })),
          Effect.provideService(Overview, overview),
          withStores
        ),
      metrics: () =>
        metrics.sources.pipe(
          Effect.flatMap(MetricSources.collect),
          Effect.map((registry) => PrometheusMetrics.formatUnsafe(Context.make(Metric.MetricRegistry, registry)))
        ),
      doctor: () =>
        diagnosis.checks.pipe(
          Effect.flatMap((checks) => Stream.runCollect(Diagnosis.run(checks))),
          Effect.map((findings) => ({ version, findings }))
        )
    })
  })
)
