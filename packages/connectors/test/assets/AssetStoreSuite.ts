/** What every asset store must do. The tests share one, under jobs of their own. */
import { AssetFailed, AssetStore, largestPreview } from "@muster/core/connector/AssetStore"
import { JobId } from "@muster/core/job/Job"
import { assert, layer as shared } from "@effect/vitest"
import { Effect, type Layer, Option, Stream } from "effect"
import { createHash } from "node:crypto"

/** A PNG of one pixel. */
export const png = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
  "base64"
)
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex")
const job = (id: string, attempt = 1) => ({ id: JobId.make(id), attempt })

const bytesOf = (content: Stream.Stream<Uint8Array, AssetFailed>) =>
  Effect.map(Stream.runCollect(content), (parts) => Buffer.concat([...parts]))

export const suite = (layer: Layer.Layer<AssetStore>) =>
  shared(layer, { excludeTestServices: true })((it) => {
    const test = (name: string, body: Effect.Effect<void, unknown, AssetStore>) => it.effect(name, () => body)

    test(
      "keeps content under a name of job, attempt and hash, and gives it back",
      Effect.gen(function* () {
        const store = yield* AssetStore
        const asset = yield* store.save({ job: job("j-1", 2), type: "image", content: Stream.make(png) })
        assert.deepStrictEqual(asset, {
          type: "image",
          file_name: `j-1-2-${sha256(png).slice(0, 32)}.png`,
          file_path: `jobs/j-1/j-1-2-${sha256(png).slice(0, 32)}.png`,
          content_type: "image/png",
          size: png.length,
          sha256: sha256(png)
        })
        const found = Option.getOrThrow(yield* store.open(JobId.make("j-1"), asset.file_name))
        assert.strictEqual(found.size, png.length)
        assert.strictEqual(found.content_type, "image/png")
        assert.isTrue(png.equals(yield* bytesOf(found.content)))
      })
    )

    test(
      "saving the same again changes nothing; another content is another asset",
      Effect.gen(function* () {
        const store = yield* AssetStore
        const text = (words: string) =>
          store.save({ job: job("j-2"), type: "text", content: Stream.make(Buffer.from(words)) })
        const [first, again, other] = yield* Effect.all([text("one"), text("one"), text("two")], { concurrency: 3 })
        assert.deepStrictEqual(again, first)
        assert.notStrictEqual(other.file_name, first.file_name)
        assert.strictEqual(first.content_type, "text/plain; charset=utf-8")
        for (const [asset, words] of [
          [first, "one"],
          [other, "two"]
        ] as const) {
          const found = Option.getOrThrow(yield* store.open(JobId.make("j-2"), asset.file_name))
          assert.strictEqual(String(yield* bytesOf(found.content)), words)
        }
      })
    )

    test(
      "what the bytes are goes before what was said",
      Effect.gen(function* () {
        const store = yield* AssetStore
        const save = (content: Uint8Array, content_type?: string) =>
          store.save({ job: job("j-3"), type: "image", content: Stream.make(content), content_type })
        assert.strictEqual((yield* save(png, "image/webp")).content_type, "image/png")
        const json = yield* save(Buffer.from("{}"), "application/json; charset=utf-8")
        assert.match(json.file_name, /\.json$/)
        const strange = yield* save(Buffer.from("{ }"), "application/json\r\nx-evil: 1; charset=ä")
        assert.match(strange.file_name, /\.(json|bin)$/)
        assert.match(strange.content_type, /^[ -~]+$/)
        assert.strictEqual((yield* save(Buffer.from("[]"), "application/json\r\n")).content_type, "application/json")
        assert.match((yield* save(Buffer.from("no image"), "image/x-made-up")).file_name, /\.bin$/)
        assert.match((yield* save(Buffer.from("evil"), "text/../../html")).file_name, /\.bin$/)
      })
    )

    test(
      "keeps nothing, and content that comes in many parts",
      Effect.gen(function* () {
        const store = yield* AssetStore
        const empty = yield* store.save({ job: job("j-4"), type: "text", content: Stream.empty })
        assert.strictEqual(empty.size, 0)
        const part = Buffer.alloc(256 * 1024, "x")
        const parts = 80
        const large = yield* store.save({
          job: job("j-4"),
          type: "file",
          content: Stream.fromIterable(Array.from({ length: parts }, () => part))
        })
        assert.strictEqual(large.size, parts * part.length)
        const found = Option.getOrThrow(yield* store.open(JobId.make("j-4"), large.file_name))
        const hash = createHash("sha256")
        yield* Stream.runForEach(found.content, (bytes) => Effect.sync(() => hash.update(bytes)))
        assert.strictEqual(hash.digest("hex"), large.sha256)
      })
    )

    test(
      "content that breaks off leaves nothing behind, and says why",
      Effect.gen(function* () {
        const store = yield* AssetStore
        const why = new AssetFailed({ detail: "the service hung up", cause: new Error("hung up") })
        const content = Stream.concat(Stream.make(png), Stream.fail(why))
        const error = yield* Effect.flip(store.save({ job: job("j-5"), type: "image", content }))
        assert.strictEqual(error.detail, "the service hung up")
        const name = `j-5-1-${sha256(png).slice(0, 32)}.png`
        assert.isTrue(Option.isNone(yield* store.open(JobId.make("j-5"), name)))
      })
    )

    test(
      "opens nothing that is no asset of that job",
      Effect.gen(function* () {
        const store = yield* AssetStore
        const { file_name } = yield* store.save({ job: job("j-6"), type: "image", content: Stream.make(png) })
        const names = ["", ".", "..", "../j-6", `../j-6/${file_name}`, "a/b", "a\\b", "%2e%2e", "a\0b", "x".repeat(300)]
        for (const name of names) assert.isTrue(Option.isNone(yield* store.open(JobId.make("j-6"), name)), name)
        assert.isTrue(Option.isNone(yield* store.open("../jobs/j-6" as JobId, file_name)))
        assert.isTrue(Option.isNone(yield* store.open(JobId.make("j-7"), file_name)))
        assert.isTrue(Option.isSome(yield* store.open(JobId.make("j-6"), file_name)))
      })
    )

    test(
      "keeps inputs by their hash",
      Effect.gen(function* () {
        const store = yield* AssetStore
        const asset = yield* store.saveInput({ type: "image", content: Stream.make(png) })
        assert.strictEqual(asset.file_name, `${sha256(png)}.png`)
        const found = Option.getOrThrow(yield* store.openInput(asset.file_name))
        assert.isTrue(png.equals(yield* bytesOf(found.content)))
        assert.isTrue(Option.isNone(yield* store.openInput("../jobs")))
      })
    )

    test(
      "keeps notes about a job, of which the last one counts, and which are no assets",
      Effect.gen(function* () {
        const store = yield* AssetStore
        const id = JobId.make("j-8")
        assert.isTrue(Option.isNone(yield* store.noted(id, "response-1")))
        for (const words of ["first", "resp_1"]) yield* store.note(id, "response-1", words)
        assert.deepStrictEqual(yield* store.noted(id, "response-1"), Option.some("resp_1"))
        assert.isTrue(Option.isNone(yield* store.noted(JobId.make("j-9"), "response-1")))
        assert.isTrue(Option.isNone(yield* store.open(id, ".response-1")))
        for (const name of ["", "../x", "a/b", "x".repeat(101)]) {
          assert.match((yield* Effect.flip(store.note(id, name, "words"))).detail, /cannot have this name/)
        }
      })
    )

    test(
      "keeps one preview of an attempt, which changes under its name",
      Effect.gen(function* () {
        const store = yield* AssetStore
        const { id } = job("j-10")
        const jpeg = Buffer.concat([Buffer.from("ffd8ffe000104a46494600010100", "hex"), Buffer.alloc(100)])
        const versions: Array<string> = []
        for (const picture of [jpeg, Buffer.concat([jpeg, Buffer.alloc(1)]), jpeg]) {
          const file_name = yield* store.savePreview(job("j-10", 2), picture)
          assert.strictEqual(file_name, "j-10-2-preview.jpg")
          const found = Option.getOrThrow(yield* store.open(id, file_name))
          assert.deepStrictEqual([found.content_type, found.size], ["image/jpeg", picture.length])
          assert.isTrue(picture.equals(yield* bytesOf(found.content)))
          versions.push(found.version ?? "")
        }
        assert.strictEqual(versions[0], versions[2])
        assert.notStrictEqual(versions[0], versions[1])
        assert.strictEqual(yield* store.savePreview(job("j-10", 3), png), "j-10-3-preview.png")
        assert.isTrue(Option.isNone(yield* store.open(id, "j-10-1-preview.jpg")))
        const asset = yield* store.save({ job: job("j-10", 2), type: "image", content: Stream.make(jpeg) })
        assert.isUndefined(Option.getOrThrow(yield* store.open(id, asset.file_name)).version)
      })
    )

    test(
      "keeps as a preview no more than a picture may have, and nothing else",
      Effect.gen(function* () {
        const store = yield* AssetStore
        const whole = Buffer.concat([png, Buffer.alloc(largestPreview - png.length)])
        assert.strictEqual(yield* store.savePreview(job("j-11"), whole), "j-11-1-preview.png")
        const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>')
        for (const picture of [Buffer.concat([whole, png]), svg, Buffer.from("%PDF-1.7\n"), Buffer.alloc(0)]) {
          const { detail } = yield* Effect.flip(store.savePreview(job("j-12"), picture))
          assert.match(detail, /no picture, or too large/)
        }
        assert.isTrue(Option.isNone(yield* store.open(JobId.make("j-12"), "j-12-1-preview.png")))
      })
    )

    test(
      "can be written to",
      Effect.flatMap(AssetStore, (store) => store.ping)
    )
  })
