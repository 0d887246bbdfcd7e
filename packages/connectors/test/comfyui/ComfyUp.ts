/** A connector to a ComfyUI that was recorded. It looks often, and gives up late: a machine may be slow. */
import { connector } from "@muster/connectors/ComfyUIWebSocketConnector"
import { Asset } from "@muster/core/connector/Asset"
import type { ConnectorJob } from "@muster/core/connector/Connector"
import type { Progress } from "@muster/core/job/Job"
import { it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { acquire, eventually, jobOf, services } from "../ConnectorSuite.ts"
import { comfyDouble, type Options } from "../doubles/ComfyDouble.ts"

export const environmentOf = (url: string, over: Readonly<Record<string, string>> = {}) => ({
  COMFYUI_URL: url,
  COMFYUI_MAX_RETRIES: "1",
  COMFYUI_SILENCE_SECONDS: "0.2",
  COMFYUI_PATIENCE_SECONDS: "5",
  ...over
})

/** Its result. */
const Done = Schema.Struct({
  prompt_id: Schema.String,
  outputs: Schema.Array(
    Schema.Struct({
      node_id: Schema.String,
      class_type: Schema.String,
      name: Schema.String,
      asset: Schema.optionalKey(Schema.String),
      text: Schema.optionalKey(Schema.String),
      file: Schema.optionalKey(Schema.Unknown)
    })
  ),
  cached_nodes: Schema.Int,
  adopted: Schema.optionalKey(Schema.Boolean),
  node_errors: Schema.optionalKey(Schema.Array(Schema.Unknown)),
  assets: Schema.Array(Asset)
})

/** A connector to a double. */
export const up = (options: Options, over: Readonly<Record<string, string>> = {}) =>
  Effect.gen(function* () {
    const double = yield* comfyDouble(options)
    const running = yield* Effect.orDie(acquire(connector, environmentOf(double.url, over)))
    const told: Array<Progress> = []
    const start = (job: ConnectorJob) =>
      running
        .process(job, (progress) => Effect.sync(() => void told.push(progress)))
        .pipe(Effect.map(Schema.decodeUnknownSync(Done, { onExcessProperty: "error" })))
    return { double, running, told, start, run: (payload: unknown) => start(jobOf(payload)) }
  })

/** The same to a double that stands still after the previews of a prompt, until it is let go. */
export const upAndHeld = (version: Options["version"], over: Readonly<Record<string, string>> = {}) =>
  Effect.gen(function* () {
    let isHeld = false
    let hold = () => {}
    const message = (message: { readonly type: string }) => {
      if (message.type === "executing" && JSON.stringify(message).includes('"node":"3"')) hold()
      return [0]
    }
    const comfy = yield* up({ version, speed: 10, faults: { message } }, over)
    hold = () => {
      isHeld = true
      comfy.double.hold()
    }
    return { ...comfy, afterPreviews: eventually("it stands still", () => isHeld) }
  })

export const live = <A, E>(title: string, body: () => Effect.Effect<A, E, Effect.Services<ReturnType<typeof up>>>) =>
  it.live(title, () => body().pipe(Effect.scoped, Effect.provide(services)))

export const versions = ["v0.8.0", "v0.3.64", "2024-06"] as const
