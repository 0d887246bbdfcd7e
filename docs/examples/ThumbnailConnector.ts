/** Makes pictures small with the thumbnail service. Payload: `{url, width?}`. */
import { AssetStore } from "@muster/core/connector/AssetStore"
import type { Connector, ConnectorJob, ConnectorServices } from "@muster/core/connector/Connector"
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import type { Progress } from "@muster/core/job/Job"
import * as HttpService from "@muster/connectors/protocol/HttpService"
import * as Settings from "@muster/connectors/Settings"
import { Duration, Effect, Schema, Stream } from "effect"
import { HttpClientRequest } from "effect/http"

const name = "ThumbnailConnector"

// Settings come as texts. What is wrong with them is said at the start, all at once.
const Variables = Schema.Struct({
  THUMBNAIL_URL: Settings.httpUrl,
  THUMBNAIL_TOKEN: Settings.secret,
  THUMBNAIL_TIMEOUT_SECONDS: Settings.integer(1, 600)
})

// Payloads come from anybody: what is not listed is refused, with its path.
const Payload = Schema.Struct({
  url: Schema.String.check(Schema.isMaxLength(2_048)),
  width: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 16, maximum: 4_096 })))
})

const make = Effect.fnUntraced(function* (settings: typeof Variables.Type) {
  const services = yield* Effect.context<ConnectorServices>()
  const service = yield* HttpService.make({
    name: "the thumbnail service",
    timeout: Duration.seconds(settings.THUMBNAIL_TIMEOUT_SECONDS),
    maxRetries: 2
  })
  const authorized = HttpClientRequest.bearerToken(settings.THUMBNAIL_TOKEN)
  const post = authorized(HttpClientRequest.post(`${settings.THUMBNAIL_URL}/thumbnails`))

  const process = Effect.fnUntraced(function* (job: ConnectorJob, report: (progress: Progress) => Effect.Effect<void>) {
    const { url, width = 256 } = yield* Settings.decodePayload(Payload, job.payload)
    yield* report({ percent: 0, message: "asking for the thumbnail" })
    // Interrupting the job ends the request; a service that works on needs to be told to stop.
    const { content, content_type } = yield* service.bytes(HttpClientRequest.bodyJsonUnsafe(post, { url, width }))
    yield* report({ percent: 90, message: "keeping it" })
    const assets = yield* AssetStore
    const asset = yield* assets
      .save({ job, type: "image", content: Stream.make(content), content_type })
      .pipe(Effect.mapError(({ message }) => new ConnectorFailure({ kind: "AssetFailed", message })))
    return { width, assets: [asset] }
  })

  return {
    // Asked every ten seconds: while it fails, no job is taken.
    health: Effect.asVoid(service.bytes(authorized(HttpClientRequest.get(`${settings.THUMBNAIL_URL}/health`)))),
    process: (job: ConnectorJob, report: (progress: Progress) => Effect.Effect<void>) =>
      Effect.provideContext(process(job, report), services),
    max_concurrent_jobs: 4
  }
})

export const connector: Connector = {
  name,
  variables: {
    THUMBNAIL_URL: "${THUMBNAIL_URL}",
    THUMBNAIL_TOKEN: "${THUMBNAIL_TOKEN}",
    THUMBNAIL_TIMEOUT_SECONDS: "${THUMBNAIL_TIMEOUT_SECONDS:-30}"
  },
  acquire: (settings) => Effect.flatMap(Settings.decode(name, Variables, settings), make)
}
