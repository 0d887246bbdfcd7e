import { NodeServices } from "@effect/platform-node"
import * as AzureAssetStore from "@muster/connectors/assets/AzureAssetStore"
import { AssetStore } from "@muster/core/connector/AssetStore"
import { JobId } from "@muster/core/job/Job"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Layer, Redacted, Stream } from "effect"
import { FetchHttpClient, HttpClient, HttpClientResponse } from "effect/http"
import { join } from "node:path"
import * as Azurite from "../../../../tools/servers/Azurite.ts"
import { startAzurite } from "../../../../tools/servers/testServers.ts"
import { png, suite } from "./AssetStoreSuite.ts"

const container = "assets"

const azurite = Effect.gen(function* () {
  const server = yield* startAzurite
  yield* Effect.promise(() => Azurite.makeContainer(server.url, container))
  return server
})

const settings = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  const folder = yield* files.makeTempDirectoryScoped({ prefix: "muster-assets-" })
  return { account: Azurite.account, key: Redacted.make(Azurite.key), container, folder }
})

const job = { id: JobId.make("j"), attempt: 1 }

describe("assets in Azure", () => {
  const layer = Layer.unwrap(
    Effect.gen(function* () {
      const server = yield* azurite
      return AzureAssetStore.layer({ ...(yield* settings), endpoint: server.url })
    })
  ).pipe(Layer.provide([NodeServices.layer, FetchHttpClient.layer]), Layer.orDie)
  suite(layer)

  it.live("say what is wrong, and never the key", () =>
    Effect.gen(function* () {
      const server = yield* azurite
      const given = { ...(yield* settings), endpoint: server.url }
      const failureOf = (over: Partial<AzureAssetStore.AzureSettings>) =>
        Effect.flatMap(AssetStore, (store) => Effect.flip(store.ping)).pipe(
          Effect.provide(AzureAssetStore.layer({ ...given, ...over }))
        )
      const missing = yield* failureOf({ container: "elsewhere" })
      assert.match(missing.detail, /^container elsewhere of http:.*(ContainerNotFound|status 404)/)
      assert.isTrue(missing.refused)
      // Nothing can be said of an asset where there is no container.
      const unknown = yield* Effect.flatMap(AssetStore, (store) => Effect.flip(store.open(job.id, "a.png"))).pipe(
        Effect.provide(AzureAssetStore.layer({ ...given, container: "elsewhere" }))
      )
      assert.match(unknown.detail, /ContainerNotFound/)
      const wrong = Redacted.make(Buffer.from("no key").toString("base64"))
      const stranger = yield* failureOf({ key: wrong })
      assert.match(stranger.detail, /AuthorizationFailure|AuthenticationFailed|status 403/)
      assert.isTrue(stranger.refused)
      const unwritable = yield* failureOf({ folder: join(import.meta.filename, "incoming") })
      assert.match(
        unwritable.detail,
        /incoming of MUSTER_WORKSPACE, where content waits on its way, cannot be written to/
      )
      assert.isTrue(unwritable.refused)
      yield* server.kill
      const away = yield* failureOf({})
      assert.isUndefined(away.refused)
      assert.notInclude(JSON.stringify(away) + String(away.cause), Azurite.key)
    }).pipe(Effect.scoped, Effect.provide([NodeServices.layer, FetchHttpClient.layer]))
  )

  it.live("are stored whether or not the CDN has them", () =>
    Effect.gen(function* () {
      const server = yield* azurite
      const asked: Array<string> = []
      const cdn = HttpClient.make((request) =>
        Effect.sync(() => {
          asked.push(`${request.method} ${request.url}`)
          const status = [404, 301, 200][asked.length - 1] ?? 200
          const headers = status === 301 ? { location: "https://edge.example.org/there" } : {}
          return HttpClientResponse.fromWeb(request, new Response(null, { status, headers }))
        })
      )
      const given = { ...(yield* settings), endpoint: server.url, cdnUrl: "cdn.example.org" }
      const store = yield* AssetStore.pipe(
        Effect.provide(AzureAssetStore.layer(given)),
        Effect.provideService(HttpClient.HttpClient, cdn)
      )
      const asset = yield* store.save({ job, type: "image", content: Stream.make(png) })
      const first = `HEAD https://cdn.example.org/${asset.file_path}`
      assert.deepStrictEqual(asked, [first, first, "HEAD https://edge.example.org/there"])
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )
})
