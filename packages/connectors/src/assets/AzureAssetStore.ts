/**
 * Assets in a container of Azure Blob Storage, in blocks, so that large ones need little memory. Waits, within reason,
 * until a CDN in front of it has them. Source: document 003.
 */
import type { BlobDownloadResponseParsed, RestError } from "@azure/storage-blob"
import type { Asset } from "@muster/core/connector/Asset"
import { AssetStore } from "@muster/core/connector/AssetStore"
import { Duration, Effect, FileSystem, Layer, Option, Path, Redacted, Schedule, Stream } from "effect"
import { HttpClient } from "effect/http"
import { failed, refused } from "./Spool.ts"
import * as Storing from "./Storing.ts"

export interface AzureSettings {
  readonly account: string
  readonly key: Redacted.Redacted
  readonly container: string
  /** Of another cloud or a double; the account's own when left out. */
  readonly endpoint?: string | undefined
  /** Host or URL of a CDN that serves the container. */
  readonly cdnUrl?: string | undefined
  /** Where contents wait until they are stored. */
  readonly folder: string
}

const blockSize = 8 * 1024 * 1024
const blocksAtOnce = 4
const callWithin = Duration.minutes(10)

/** How often and after how long a CDN is asked. */
const cdnTries = 30
const cdnPause = Duration.seconds(2)
/** However slowly it answers. */
const cdnWithin = Duration.times(cdnPause, cdnTries)
/** From http to https, say. */
const cdnRedirects = 3

/** An error that Azure answered. */
const isAnswer = (error: unknown): error is RestError =>
  error instanceof Error && error.name === "RestError" && (error as RestError).statusCode !== undefined

/** In the body of an answer, or in its headers where it has none. */
const codeOf = (error: RestError): string | undefined =>
  error.code ?? error.response?.headers.get("x-ms-error-code") ?? undefined

/** A blob that is not there; a container that is not there keeps nothing at all. */
const isMissing = (error: unknown): boolean =>
  isAnswer(error) && error.statusCode === 404 && codeOf(error) !== "ContainerNotFound"

/** Credentials that are wrong, a container that is not there. */
const isRefusal = (error: unknown): boolean => isAnswer(error) && [400, 401, 403, 404].includes(error.statusCode ?? 0)

/** What Azure says, without the request it says it about: that carries the credentials. */
const words = (error: unknown): string =>
  isAnswer(error) ? (codeOf(error) ?? `status ${error.statusCode}`) : "it does not answer"

const cause = (error: unknown) => new Error(error instanceof Error ? error.message.split("\n")[0] : "unknown")

const asFailure = (error: unknown) => failed(`Azure storage: ${words(error)}`)(cause(error))

const call = <A>(run: (signal: AbortSignal) => Promise<A>) =>
  Effect.tryPromise({ try: run, catch: (error) => error }).pipe(
    Effect.timeoutOrElse({ duration: callWithin, orElse: () => Effect.fail(new Error("timed out") as unknown) })
  )

const cdnBase = (cdnUrl: string): string =>
  (/^https?:\/\//.test(cdnUrl) ? cdnUrl : `https://${cdnUrl}`).replace(/\/+$/, "")

/** Keeps assets in a container that is there; `ping` says when it is not. */
export const layer = (
  settings: AzureSettings
): Layer.Layer<AssetStore, never, FileSystem.FileSystem | Path.Path | HttpClient.HttpClient> =>
  Layer.effect(
    AssetStore,
    Effect.gen(function* () {
      const files = yield* FileSystem.FileSystem
      const http = HttpClient.followRedirects(yield* HttpClient.HttpClient, cdnRedirects)
      // Only now: it takes long to load, and most processes keep their assets in a folder.
      const { BlobServiceClient, StorageSharedKeyCredential } = yield* Effect.promise(
        () => import("@azure/storage-blob")
      )
      const { account, cdnUrl, container, endpoint, folder, key } = settings
      const service = new BlobServiceClient(
        endpoint ?? `https://${account}.blob.core.windows.net`,
        new StorageSharedKeyCredential(account, Redacted.value(key)),
        { retryOptions: { maxTries: 2 } }
      )
      const blobs = service.getContainerClient(container)
      const folders = files.makeDirectory(folder, { recursive: true })
      // That it cannot be written to is told by ping.
      yield* Effect.ignore(folders)

      const awaitCdn = Effect.fnUntraced(function* (base: string, asset: Asset) {
        const url = `${base}/${asset.file_path.split("/").map(encodeURIComponent).join("/")}`
        const there = http.head(url).pipe(
          Effect.timeout("10 seconds"),
          Effect.flatMap(({ status }) => (status === 200 ? Effect.void : Effect.fail(status)))
        )
        yield* there.pipe(
          Effect.retry({ times: cdnTries - 1, schedule: Schedule.spaced(cdnPause) }),
          Effect.timeout(cdnWithin),
          Effect.catch(() => Effect.logWarning(`${asset.file_name} is stored, and not yet at the CDN`))
        )
      })

      const contentOf = (reply: BlobDownloadResponseParsed) =>
        reply.readableStreamBody === undefined
          ? Stream.empty
          : Stream.fromAsyncIterable(reply.readableStreamBody as AsyncIterable<Uint8Array>, asFailure)

      return yield* Storing.make(folder, {
        put: (from, path) =>
          Effect.asVoid(
            call((abortSignal) =>
              blobs.getBlockBlobClient(path).uploadFile(from.path, {
                blockSize,
                concurrency: blocksAtOnce,
                abortSignal,
                blobHTTPHeaders: { blobContentType: from.content_type }
              })
            )
          ).pipe(Effect.mapError(asFailure)),

        // Its content is asked for by who reads it: one that nobody reads would hold a connection.
        open: (path) => {
          const blob = blobs.getBlockBlobClient(path)
          const content = call((abortSignal) => blob.download(0, undefined, { abortSignal })).pipe(
            Effect.mapBoth({ onFailure: asFailure, onSuccess: contentOf }),
            Stream.unwrap
          )
          return call((abortSignal) => blob.getProperties({ abortSignal })).pipe(
            Effect.map(({ contentLength = 0, contentType = "application/octet-stream" }) =>
              Option.some({ content_type: contentType, size: contentLength, content })
            ),
            Effect.catchIf(isMissing, () => Effect.succeedNone),
            Effect.mapError(asFailure)
          )
        },

        published: cdnUrl === undefined ? undefined : (asset) => awaitCdn(cdnBase(cdnUrl), asset),

        ping: Effect.andThen(
          Effect.andThen(folders, files.access(folder, { writable: true })).pipe(
            Effect.mapError(
              refused(`${folder} of MUSTER_WORKSPACE, where content waits on its way, cannot be written to`)
            )
          ),
          call((abortSignal) => blobs.getProperties({ abortSignal })).pipe(
            Effect.asVoid,
            Effect.mapError((error) => {
              const detail = `container ${container} of ${service.url}: ${words(error)}`
              return (isRefusal(error) ? refused : failed)(detail)(cause(error))
            })
          )
        )
      })
    })
  )
