/** What connectors stand on, wired: where assets go, files by URL, HTTP. Budgets of API keys are where the queue is. */
import { NodeServices } from "@effect/platform-node"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as AzureAssetStore from "@muster/connectors/assets/AzureAssetStore"
import * as FolderAssetStore from "@muster/connectors/assets/FolderAssetStore"
import type { AlsoAllowed } from "@muster/connectors/network/AddressPolicy"
import * as GuardedRemoteFiles from "@muster/connectors/network/GuardedRemoteFiles"
import type { AssetStore } from "@muster/core/connector/AssetStore"
import type { ConnectorServices } from "@muster/core/connector/Connector"
import type { QuotaBudget } from "@muster/core/connector/QuotaBudget"
import { Layer, type Redacted } from "effect"
import { join } from "node:path"

/** Where assets are kept. */
export type AssetSettings =
  | { readonly provider: "folder" }
  | {
      readonly provider: "azure"
      readonly account: string
      readonly key: Redacted.Redacted
      readonly container: string
      readonly endpoint: string | undefined
      readonly cdnUrl: string | undefined
    }

export interface ConnectorSettings {
  /** The root of logs and assets. */
  readonly workspace: string
  readonly assets: AssetSettings
  /** Addresses that are not public, and that files of jobs may be fetched from all the same. */
  readonly fetchFrom: AlsoAllowed
}

export const assetStore = ({ assets, workspace }: ConnectorSettings): Layer.Layer<AssetStore> =>
  assets.provider === "folder"
    ? FolderAssetStore.layer(join(workspace, "assets")).pipe(Layer.provide(NodeServices.layer))
    : AzureAssetStore.layer({ ...assets, folder: join(workspace, "assets", "incoming") }).pipe(
        Layer.provide([NodeServices.layer, NodeHttpClient.layerUndici])
      )

export const layer = (settings: ConnectorSettings): Layer.Layer<Exclude<ConnectorServices, QuotaBudget>> =>
  Layer.mergeAll(
    assetStore(settings),
    GuardedRemoteFiles.layer({ alsoAllowed: settings.fetchFrom }),
    NodeHttpClient.layerUndici
  )
