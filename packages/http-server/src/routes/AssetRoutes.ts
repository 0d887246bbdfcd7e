/**
 * Assets to and from the store of this server. Bytes go through as they come and are never held as a whole. Whoever made
 * them is not trusted: no browser may take them for a page of this server.
 */
import { type AssetContent, AssetFailed, AssetStore, type StoredAsset } from "@muster/core/connector/AssetStore"
import { Effect, Option, Stream } from "effect"
import { HttpServerRequest, HttpServerResponse } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { Api } from "../contract/Api.ts"
import * as Problems from "../contract/Problems.ts"
import { HttpSettings } from "../HttpSettings.ts"
import { answer, type Problem } from "../ProblemAnswer.ts"
import * as RequestBody from "../RequestBody.ts"

const retryAfterSeconds = 2

/** Inputs that are taken at once: each holds a connection, and space on a disk that others need, too. */
export const mostUploads = 32

const tooManyUploads = new Problems.TooManyStreams({
  detail: `this server takes ${mostUploads} inputs at once; send it again later, or to another server`,
  retry_after_s: 5
})

/** What a browser shows by itself; anything else is for saving. */
const shown = /^(?:image\/(?:png|jpeg|webp|gif|avif)|video\/|audio\/|text\/plain)/

const away = Effect.fnUntraced(function* ({ cause, message }: AssetFailed) {
  yield* Effect.logWarning(`answering 503: ${message}`, cause)
  return yield* answer(
    new Problems.StoreUnavailable({
      detail: "the store of assets cannot serve this now; send the request again later",
      retry_after_s: retryAfterSeconds
    })
  )
})

/** A name stands for one content for ever, for the hash is part of it; but that of a preview, which has versions. */
const found = (
  file_name: string,
  { content, content_type, size, version }: StoredAsset,
  request: HttpServerRequest.HttpServerRequest
) => {
  const etag = `"${version ?? file_name}"`
  const headers = {
    etag,
    "cache-control": version === undefined ? "private, max-age=31536000, immutable" : "private, no-cache",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; sandbox",
    "content-disposition": `${shown.test(content_type) ? "inline" : "attachment"}; filename="${file_name}"`
  }
  const known = request.headers["if-none-match"]?.split(",").map((one) => one.trim().replace(/^W\//, ""))
  return known?.includes(etag) === true || known?.includes("*") === true
    ? HttpServerResponse.empty({ status: 304, headers })
    : HttpServerResponse.stream(content, { contentType: content_type, contentLength: size, headers })
}

/** The body of a request up to a limit, and what was wrong with it when it could not be kept. */
const bounded = (request: HttpServerRequest.HttpServerRequest, limit: number) => {
  let problem: Problem | undefined
  let length = 0
  const broken = (why: Problem, cause: unknown) => {
    problem = why
    return new AssetFailed({ detail: why.detail, cause })
  }
  const content: AssetContent["content"] = request.stream.pipe(
    Stream.mapError((cause) => {
      const detail = "the body could not be read to its end"
      return broken(new Problems.InvalidRequest({ detail, errors: [{ path: "", message: detail }] }), cause)
    }),
    Stream.tap((bytes) => {
      length += bytes.length
      return length > limit ? Effect.fail(broken(RequestBody.largerThan(limit), undefined)) : Effect.void
    })
  )
  return { content, problem: () => problem }
}

const noBody = new Problems.InvalidRequest({
  detail: "send the content as the body",
  errors: [{ path: "", message: "there is no body" }]
})

const noStore = answer(new Problems.RouteNotFound({ detail: "this server keeps no assets" }))

export const layer = HttpApiBuilder.group(
  Api,
  "assets",
  Effect.fnUntraced(function* (handlers) {
    // Whoever puts a server together may do so without.
    const store = yield* Effect.serviceOption(AssetStore)
    const { maxAssetBytes } = yield* HttpSettings
    let uploads = 0
    return handlers
      .handle("ofJob", ({ params: { file_name, id }, request }) =>
        Option.match(store, {
          onNone: () => noStore,
          onSome: (assets) =>
            assets.open(id, file_name).pipe(
              Effect.flatMap(
                Option.match({
                  onNone: () =>
                    Effect.fail(
                      new Problems.AssetNotFound({ detail: `job ${id} has no asset ${file_name}`, id, file_name })
                    ),
                  onSome: (asset) => Effect.succeed(found(file_name, asset, request))
                })
              ),
              Effect.catchTag("AssetFailed", away)
            )
        })
      )
      .handleRaw("keep", ({ query, request }) =>
        Option.match(store, {
          onNone: () => noStore,
          onSome: (assets) => {
            if (!RequestBody.hasBody(request)) return answer(noBody)
            if (uploads >= mostUploads) return answer(tooManyUploads)
            const { content, problem } = bounded(request, maxAssetBytes)
            const content_type = request.headers["content-type"]
            return Effect.acquireUseRelease(
              Effect.sync(() => uploads++),
              () => assets.saveInput({ type: query.type ?? "file", content, content_type }),
              () => Effect.sync(() => uploads--)
            ).pipe(
              Effect.map((asset) => ({ asset })),
              Effect.catchTag("AssetFailed", (error) => {
                const why = problem()
                return why === undefined ? away(error) : answer(why)
              })
            )
          }
        })
      )
  })
)
