/**
 * Whether assets can be kept where this process was told to. What jobs make is paid for by the time it is kept, so a
 * place that refuses it is found before any job is taken.
 */
import { type AssetFailed, AssetStore } from "@muster/core/connector/AssetStore"
import * as Diagnosis from "@muster/core/diagnosis/Diagnosis"
import * as Finding from "@muster/core/diagnosis/Finding"
import { InvalidConfiguration } from "@muster/core/worker/WorkerErrors"
import { Duration, Effect, Layer } from "effect"
import { join } from "node:path"
import type { ConnectorSettings } from "./ConnectorLayers.ts"

/** How long a start waits for the place to answer. */
const patience = Duration.seconds(5)

const placeOf = ({ assets, workspace }: Pick<ConnectorSettings, "assets" | "workspace">) =>
  assets.provider === "folder"
    ? {
        variable: "MUSTER_WORKSPACE",
        name: `in ${join(workspace, "assets")}`,
        fix: "let MUSTER_WORKSPACE name a folder that this process may write to"
      }
    : {
        variable: "CLOUD_STORAGE_CONTAINER",
        name: `in container ${assets.container} of account ${assets.account}`,
        fix: "create the container, or correct CLOUD_STORAGE_CONTAINER, AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY"
      }

const words = ({ detail }: AssetFailed): string => `assets cannot be kept: ${detail}`

/**
 * Fails when the place refuses this process; says so when it is away, which passes. For workers, before they register:
 * they would pay for what they cannot keep.
 */
export const beforeWork = Effect.fnUntraced(function* (
  settings: ConnectorSettings,
  within: Duration.Input = patience
): Effect.fn.Return<void, InvalidConfiguration, AssetStore> {
  const store = yield* AssetStore
  const { fix, variable } = placeOf(settings)
  yield* store.ping.pipe(
    Effect.timeoutOrElse({
      duration: within,
      orElse: () => Effect.logWarning("where assets are kept does not answer; going on")
    }),
    Effect.catchTag("AssetFailed", (error) =>
      error.refused === true
        ? Effect.fail(new InvalidConfiguration({ path: variable, detail: `${words(error)}; ${fix}` }))
        : Effect.logWarning(`${words(error)}; going on`)
    )
  )
})

/** What a server says of it: at its start when it is not well, and whenever it is asked how it is. */
export const diagnosis = (settings: ConnectorSettings): Layer.Layer<never, never, AssetStore> =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const store = yield* AssetStore
      const { fix, name } = placeOf(settings)
      yield* Diagnosis.contribute([
        {
          name: "assets",
          run: store.ping.pipe(
            Effect.as(Finding.ok(`are kept ${name}`)),
            Effect.catchTag("AssetFailed", (error) => Effect.succeed(Finding.error(words(error), fix)))
          )
        }
      ])
      yield* store.ping.pipe(
        Effect.catchTag("AssetFailed", (error) => Effect.logError(`${words(error)}; ${fix}`)),
        Effect.forkScoped
      )
    })
  )
