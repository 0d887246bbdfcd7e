/** What a worker counts, on its way to a collector. */
import { assert, describe, it } from "@effect/vitest"
import * as MetricsExport from "@muster/impl/MetricsExport"
import { Deferred, Effect, Layer, Metric } from "effect"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"

const options = { workerId: "w-1", workerType: "openai", machineId: "m-1" }

describe("the metrics of a worker", () => {
  it.live("are sent to the collector that the variables of OpenTelemetry name", () =>
    Effect.gen(function* () {
      const sent = yield* Deferred.make<{ readonly url: string | undefined; readonly body: string }>()
      const port = yield* Effect.acquireRelease(
        Effect.promise(async () => {
          const server = createServer((request, response) => {
            const parts: Array<Buffer> = []
            request.on("data", (part: Buffer) => parts.push(part))
            request.on("end", () => {
              response.end("{}")
              Deferred.doneUnsafe(sent, Effect.succeed({ url: request.url, body: String(Buffer.concat(parts)) }))
            })
          })
          await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
          return server
        }),
        (server) =>
          Effect.sync(() => {
            server.closeAllConnections()
            server.close()
          })
      ).pipe(Effect.map((server) => (server.address() as AddressInfo).port))
      const environment = {
        OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
        OTEL_METRIC_EXPORT_INTERVAL: "20",
        OTEL_EXPORTER_OTLP_HEADERS: ""
      }
      yield* Metric.update(Metric.counter("muster_connector_jobs_total"), 1)
      yield* Layer.build(MetricsExport.layer({ ...options, environment }))
      const { body, url } = yield* Effect.timeout(Deferred.await(sent), "20 seconds")
      assert.strictEqual(url, "/v1/metrics")
      for (const word of ["muster_connector_jobs_total", "muster-worker", "w-1", "openai", "m-1"]) {
        assert.include(body, word)
      }
    }).pipe(Effect.scoped, Effect.provideService(Metric.MetricRegistry, new Map()))
  )

  it.live("go nowhere without them, and stop no worker when they are wrong", () =>
    Effect.gen(function* () {
      for (const environment of [
        {},
        { OTEL_EXPORTER_OTLP_ENDPOINT: "nowhere", OTEL_METRIC_EXPORT_INTERVAL: "often" }
      ]) {
        yield* Effect.scoped(Layer.build(MetricsExport.layer({ ...options, environment })))
      }
    })
  )
})
