/** Assets over HTTP, from and to a real folder. */
import { assert, describe, it } from "@effect/vitest"
import { AssetFailed, AssetStore } from "@muster/core/connector/AssetStore"
import { JobId } from "@muster/core/job/Job"
import * as ConnectorLayers from "@muster/impl/ConnectorLayers"
import { mostUploads } from "@muster/http-server/routes/AssetRoutes"
import { Effect, Layer, Schedule, Stream } from "effect"
import { createHash } from "node:crypto"
import { mkdtemp, readdir, rm } from "node:fs/promises"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expectProblem } from "../../http-server/test/problems.ts"
import { ask, server, TestServer } from "../../http-server/test/TestServer.ts"

const png = Uint8Array.from(
  Buffer.from(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
    "base64"
  )
)

const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "muster-assets-"))),
  (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
)

const serving = Effect.map(folder, (workspace) =>
  server({ maxAssetBytes: 10_000 }).pipe(
    Layer.provideMerge(ConnectorLayers.assetStore({ workspace, assets: { provider: "folder" }, fetchFrom: false }))
  )
)

const save = (content: Uint8Array, content_type: string) =>
  Effect.flatMap(AssetStore, (store) =>
    store.save({
      job: { id: JobId.make("j-1"), attempt: 1 },
      type: "file",
      content: Stream.make(content),
      content_type
    })
  )

describe("GET /jobs/:id/assets/:file_name", () => {
  it.live("sends an asset as it was saved, so that no browser takes it for a page", () =>
    Effect.gen(function* () {
      yield* Effect.gen(function* () {
        const { file_name } = yield* save(png, "image/png")
        const path = `/jobs/j-1/assets/${file_name}`
        const { headers, status } = yield* ask("GET", path)
        assert.strictEqual(status, 200)
        assert.deepInclude(headers, {
          "content-type": "image/png",
          "content-length": String(png.length),
          "x-content-type-options": "nosniff",
          "content-security-policy": "default-src 'none'; sandbox",
          "content-disposition": `inline; filename="${file_name}"`,
          etag: `"${file_name}"`,
          "cache-control": "private, max-age=31536000, immutable"
        })
        const again = yield* ask("GET", path, { headers: { "if-none-match": `W/"other", "${file_name}"` } })
        assert.deepStrictEqual([again.status, again.text], [304, ""])
        const page = yield* save(new TextEncoder().encode("<script>alert(1)</script>"), "text/html")
        const { headers: asPage } = yield* ask("GET", `/jobs/j-1/assets/${page.file_name}`)
        assert.match(String(asPage["content-disposition"]), /^attachment; /)
      }).pipe(Effect.provide(yield* serving))
    })
  )

  it.live("sends a preview as it is now: it may be kept, and is asked about each time", () =>
    Effect.gen(function* () {
      yield* Effect.gen(function* () {
        const store = yield* AssetStore
        const show = (picture: Uint8Array) => store.savePreview({ id: JobId.make("j-1"), attempt: 1 }, picture)
        const path = `/jobs/j-1/assets/${yield* show(png)}`
        const { headers, status } = yield* ask("GET", path)
        assert.strictEqual(status, 200)
        assert.deepInclude(headers, {
          "content-type": "image/png",
          "content-length": String(png.length),
          "cache-control": "private, no-cache"
        })
        const known = { headers: { "if-none-match": String(headers["etag"]) } }
        const same = yield* ask("GET", path, known)
        assert.deepStrictEqual([same.status, same.text, same.headers["etag"]], [304, "", headers["etag"]])
        yield* show(Buffer.concat([png, Buffer.alloc(1)]))
        const other = yield* ask("GET", path, known)
        assert.deepStrictEqual([other.status, other.headers["content-length"]], [200, String(png.length + 1)])
        assert.notStrictEqual(other.headers["etag"], headers["etag"])
      }).pipe(Effect.provide(yield* serving))
    })
  )

  it.live("says that there is none, and lets nobody out of its folder", () =>
    Effect.gen(function* () {
      yield* Effect.gen(function* () {
        const { file_name } = yield* save(png, "image/png")
        expectProblem(yield* ask("GET", "/jobs/j-1/assets/none.png"), 404, "AssetNotFound")
        expectProblem(yield* ask("GET", `/jobs/j-2/assets/${file_name}`), 404, "AssetNotFound")
        for (const name of ["..%2f..%2fsecret", "%2e%2e", ".hidden", "a%00b"]) {
          const { status } = yield* ask("GET", `/jobs/j-1/assets/${name}`)
          assert.oneOf(status, [400, 404], name)
        }
      }).pipe(Effect.provide(yield* serving))
    })
  )
})

describe("POST /assets", () => {
  it.live("keeps what is sent, whole or in parts, and says what it is", () =>
    Effect.gen(function* () {
      yield* Effect.gen(function* () {
        const whole = yield* ask("POST", "/assets", { raw: png, headers: { "content-type": "image/png" } })
        assert.strictEqual(whole.status, 201)
        assert.deepInclude(whole.json.asset, {
          type: "image",
          content_type: "image/png",
          size: png.length,
          sha256: createHash("sha256").update(png).digest("hex")
        })
        const parts = yield* ask("POST", "/assets", {
          raw: [png.subarray(0, 20), png.subarray(20)],
          headers: { "content-type": undefined }
        })
        assert.deepStrictEqual(parts.json, whole.json)
        const store = yield* AssetStore
        const { content } = yield* Effect.flatMap(store.openInput(whole.json.asset.file_name), Effect.fromOption)
        assert.deepStrictEqual(Buffer.concat(yield* Stream.runCollect(content)), Buffer.from(png))
        const typed = yield* ask("POST", "/assets?type=text", {
          raw: "words",
          headers: { "content-type": "text/plain" }
        })
        assert.strictEqual(typed.json.asset.type, "text")
      }).pipe(Effect.provide(yield* serving))
    })
  )

  it.live("refuses what is too large, said or not, empty, or a form; nothing of it stays", () =>
    Effect.gen(function* () {
      const workspace = yield* folder
      const store = ConnectorLayers.assetStore({ workspace, assets: { provider: "folder" }, fetchFrom: false })
      yield* Effect.gen(function* () {
        const large = new Uint8Array(6_000)
        const headers = { "content-type": "application/octet-stream" }
        expectProblem(yield* ask("POST", "/assets", { raw: new Uint8Array(10_001), headers }), 413, "PayloadTooLarge")
        expectProblem(yield* ask("POST", "/assets", { raw: [large, large], headers }), 413, "PayloadTooLarge")
        expectProblem(yield* ask("POST", "/assets", { headers }), 400, "InvalidRequest")
        expectProblem(yield* ask("POST", "/assets?type=movie", { raw: png, headers }), 400, "InvalidRequest")
        for (const type of ["multipart/form-data; boundary=x", "application/x-www-form-urlencoded"]) {
          const answer = yield* ask("POST", "/assets", { raw: "x", headers: { "content-type": type } })
          expectProblem(answer, 415, "UnsupportedMediaType")
        }
        assert.deepStrictEqual(yield* Effect.promise(() => readdir(join(workspace, "assets", "incoming"))), [])
        assert.deepStrictEqual(yield* Effect.promise(() => readdir(join(workspace, "assets"))), ["incoming"])
      }).pipe(Effect.provide(server({ maxAssetBytes: 10_000 }).pipe(Layer.provideMerge(store))))
    })
  )

  it.live("keeps what is larger than any JSON may be", () =>
    Effect.gen(function* () {
      const workspace = yield* folder
      const store = ConnectorLayers.assetStore({ workspace, assets: { provider: "folder" }, fetchFrom: false })
      const large = new Uint8Array(3 * 1024 * 1024).fill(7)
      const headers = { "content-type": "application/octet-stream" }
      const answer = yield* Effect.provide(
        ask("POST", "/assets", { raw: [large, large], headers }),
        server({ maxBodyBytes: 1_000 }).pipe(Layer.provideMerge(store))
      )
      assert.deepStrictEqual([answer.status, answer.json.asset.size], [201, 2 * large.length])
    })
  )

  it.live("takes so many at once, and forgets those whose senders go away", () =>
    Effect.gen(function* () {
      const workspace = yield* folder
      const store = ConnectorLayers.assetStore({ workspace, assets: { provider: "folder" }, fetchFrom: false })
      const incoming = Effect.promise(() => readdir(join(workspace, "assets", "incoming")))
      const until = (count: number) =>
        incoming.pipe(
          Effect.filterOrFail((names) => names.length === count),
          Effect.retry(Schedule.spaced("5 millis")),
          Effect.timeoutOrElse({
            duration: "20 seconds",
            orElse: () => Effect.die(new Error(`there are never ${count} on their way`))
          })
        )
      yield* Effect.gen(function* () {
        const { port } = yield* TestServer
        const begin = () => {
          const socket = connect(port, "127.0.0.1").on("error", () => {})
          socket.write("POST /assets HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 5000\r\n\r\nhalf")
          return socket
        }
        const sockets = Array.from({ length: mostUploads }, begin)
        yield* until(mostUploads)
        const headers = { "content-type": "image/png" }
        const refused = yield* ask("POST", "/assets", { raw: png, headers })
        expectProblem(refused, 503, "TooManyStreams")
        assert.strictEqual(refused.headers["retry-after"], "5")
        for (const socket of sockets) socket.destroy()
        yield* until(0)
        assert.strictEqual((yield* ask("POST", "/assets", { raw: png, headers })).status, 201)
      }).pipe(Effect.provide(server({ maxAssetBytes: 10_000 }).pipe(Layer.provideMerge(store))))
    })
  )

  it.live("says when its store is away, and where there is none", () =>
    Effect.gen(function* () {
      const failed = Effect.fail(new AssetFailed({ detail: "the disk is full at /secret", cause: undefined }))
      const broken = Layer.mock(AssetStore, { saveInput: () => failed, open: () => failed })
      const headers = { "content-type": "image/png" }
      yield* Effect.gen(function* () {
        const answer = yield* ask("POST", "/assets", { raw: png, headers })
        expectProblem(answer, 503, "StoreUnavailable")
        assert.notInclude(answer.text, "secret")
        expectProblem(yield* ask("GET", "/jobs/j/assets/a.png"), 503, "StoreUnavailable")
      }).pipe(Effect.provide(server().pipe(Layer.provide(broken))))
      yield* Effect.gen(function* () {
        expectProblem(yield* ask("POST", "/assets", { raw: png, headers }), 404, "RouteNotFound")
      }).pipe(Effect.provide(server()))
    })
  )
})
