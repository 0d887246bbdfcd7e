/** What connectors of tests that use nothing are given. */
import { AssetStore } from "@muster/core/connector/AssetStore"
import type { ConnectorServices } from "@muster/core/connector/Connector"
import { QuotaBudget } from "@muster/core/connector/QuotaBudget"
import { RemoteFiles } from "@muster/core/connector/RemoteFiles"
import { Effect, Layer } from "effect"
import { HttpClient } from "effect/http"

export const noServices: Layer.Layer<ConnectorServices> = Layer.mergeAll(
  Layer.mock(AssetStore, {}),
  Layer.mock(QuotaBudget, {}),
  Layer.mock(RemoteFiles, {}),
  Layer.succeed(
    HttpClient.HttpClient,
    HttpClient.make(() => Effect.die("no connector of these tests asks anybody"))
  )
)
