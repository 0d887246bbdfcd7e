/** Workers inside the server's own process. */
import { assert, describe, it } from "@effect/vitest"
import * as MetricSources from "@muster/core/diagnosis/MetricSources"
import * as EmbeddedWorkers from "@muster/impl/EmbeddedWorkers"
import * as MappingSource from "@muster/impl/MappingSource"
import * as ShippedMapping from "@muster/impl/ShippedMapping"
import * as ConnectorLayers from "@muster/impl/ConnectorLayers"
import * as WorkerLayers from "@muster/impl/WorkerLayers"
import { Duration, Effect, Layer, Metric } from "effect"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

describe("workers inside the server", () => {
  it.live("count in its metrics what their connectors do, and nothing that others count", () =>
    Effect.gen(function* () {
      const workspace = yield* Effect.acquireRelease(
        Effect.promise(() => mkdtemp(join(tmpdir(), "muster-embedded-"))),
        (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
      )
      const mapping = yield* MappingSource.load(ShippedMapping.file, [], {})
      yield* Effect.gen(function* () {
        for (const name of ["muster_connector_jobs_total", "muster_openai_tokens_total", "other_total"]) {
          yield* Metric.update(Metric.counter(name), 1)
        }
        const told = yield* Effect.flatMap(
          Effect.flatMap(MetricSources.MetricSources, ({ sources }) => sources),
          MetricSources.collect
        )
        const names = [...told.values()].map(({ id }) => id)
        assert.includeMembers(names, ["muster_connector_jobs_total", "muster_openai_tokens_total"])
        assert.notInclude(names, "other_total")
      }).pipe(
        Effect.provide(
          EmbeddedWorkers.layer({
            machineId: "local",
            region: "eu",
            workers: 0,
            workerType: EmbeddedWorkers.usualType,
            beatInterval: Duration.seconds(15),
            maxResultLength: 1_000,
            mapping,
            environment: {}
          }).pipe(
            Layer.provide(ConnectorLayers.layer({ workspace, assets: { provider: "folder" }, fetchFrom: false })),
            Layer.provideMerge(WorkerLayers.inMemory)
          )
        )
      )
    }).pipe(Effect.scoped, Effect.provideService(Metric.MetricRegistry, new Map()))
  )
})
