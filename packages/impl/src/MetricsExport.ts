/**
 * What a worker counts, sent to a collector by OTLP: a worker listens to nobody, so that nobody can come and ask it. Where
 * to, and how, say the usual variables of OpenTelemetry; without them nothing is sent.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { ConfigProvider, Effect, Layer } from "effect"
import { OtlpMetrics, OtlpSerialization } from "effect/observability"

export interface MetricsExportOptions {
  readonly workerId: string
  readonly workerType: string
  readonly machineId: string | undefined
  readonly environment: Readonly<Record<string, string | undefined>>
}

/** Sends for as long as the layer, and once more when that ends. A collector that is away costs nothing but figures. */
export const layer = ({ environment, machineId, workerId, workerType }: MetricsExportOptions): Layer.Layer<never> => {
  const said = Object.entries(environment).flatMap(([name, value]) => (value ? [[name, value] as const] : []))
  // As OpenTelemetry has it: an endpoint alone is enough.
  const env = { OTEL_METRICS_EXPORTER: "otlp", ...Object.fromEntries(said) }
  return OtlpMetrics.layerFromConfig({
    resource: {
      serviceName: "muster-worker",
      attributes: {
        "service.instance.id": workerId,
        worker_type: workerType,
        ...(machineId === undefined ? {} : { machine_id: machineId })
      }
    }
  }).pipe(
    Layer.provide([
      OtlpSerialization.layerJson,
      NodeHttpClient.layerUndici,
      ConfigProvider.layer(ConfigProvider.fromEnv({ env }))
    ]),
    Layer.flatMap(() => Layer.empty),
    // Those variables are often meant for all programs of a machine: no work stops because of one.
    Layer.catchCause((cause) => Layer.effectDiscard(Effect.logWarning("metrics are not sent", cause)))
  )
}
