/**
 * Makes images with a Stable Diffusion web UI (A1111) that was started with `--api`: by its HTTP API, whatever the name
 * that the documents gave it says.
 *
 * Payload: `{mode?: "txt2img" | "img2img", …}` with the fields of that API, `init_images` and `mask` by URL or asset, and
 * `save_assets?`.
 */
import type { Connector } from "@muster/core/connector/Connector"
import { Duration, Effect, Schema } from "effect"
import * as WebUi from "./a1111/WebUi.ts"
import * as WebUiJobs from "./a1111/WebUiJobs.ts"
import * as Settings from "./Settings.ts"

const name = "A1111WebSocketConnector"

const Variables = Schema.Struct({
  A1111_PORT: Settings.integer(1, 65_535),
  /** Instead of the port on this machine, when it is not empty. */
  A1111_URL: Schema.Union([Schema.Literal(""), Settings.httpUrl]),
  /** `user:password`. */
  A1111_API_AUTH: Schema.Union([Schema.Literal(""), Settings.secretLike(/^[^:]+:/, "user:password")]),
  /** The client waits an hour for an answer to begin. */
  A1111_TIMEOUT_SECONDS: Settings.integer(1, 3_600),
  A1111_POLL_INTERVAL_MS: Settings.integer(5, 60_000),
  A1111_PATIENCE_SECONDS: Settings.integer(0, 86_400),
  HTTP_TIMEOUT_SECONDS: Settings.integer(1, 3_600),
  HTTP_MAX_RETRIES: Settings.integer(0, 10)
})

const stopWithin = Duration.seconds(5)

const make = Effect.fnUntraced(function* (settings: typeof Variables.Type) {
  const { A1111_API_AUTH, A1111_PORT, A1111_URL } = settings
  const webUi = yield* WebUi.make({
    url: A1111_URL === "" ? `http://127.0.0.1:${A1111_PORT}` : A1111_URL,
    auth: A1111_API_AUTH === "" ? undefined : A1111_API_AUTH,
    timeout: Duration.seconds(settings.HTTP_TIMEOUT_SECONDS),
    generationTimeout: Duration.seconds(settings.A1111_TIMEOUT_SECONDS),
    maxRetries: settings.HTTP_MAX_RETRIES
  })
  return yield* WebUiJobs.make(webUi, {
    pollEvery: Duration.millis(settings.A1111_POLL_INTERVAL_MS),
    patience: Duration.seconds(settings.A1111_PATIENCE_SECONDS),
    stopWithin
  })
})

export const connector: Connector = {
  name,
  variables: {
    A1111_PORT: "${A1111_PORT:-7860}",
    A1111_URL: "${A1111_URL:-}",
    A1111_API_AUTH: "${A1111_API_AUTH:-}",
    A1111_TIMEOUT_SECONDS: "${A1111_TIMEOUT_SECONDS:-600}",
    A1111_POLL_INTERVAL_MS: "${A1111_POLL_INTERVAL_MS:-500}",
    A1111_PATIENCE_SECONDS: "${A1111_PATIENCE_SECONDS:-600}",
    HTTP_TIMEOUT_SECONDS: "${HTTP_TIMEOUT_SECONDS:-30}",
    HTTP_MAX_RETRIES: "${HTTP_MAX_RETRIES:-3}"
  },
  acquire: (settings) => Effect.flatMap(Settings.decode(name, Variables, settings), make)
}
