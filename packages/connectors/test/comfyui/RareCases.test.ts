import { nominalGigabytes } from "@muster/connectors/GpuMemory"
import { AssetStore } from "@muster/core/connector/AssetStore"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schedule, Stream } from "effect"
import { png } from "../assets/AssetStoreSuite.ts"
import { eventually, jobOf } from "../ConnectorSuite.ts"
import { graphOf, type Options } from "../doubles/ComfyDouble.ts"
import { read } from "../doubles/ComfyRecording.ts"
import { live, up, upAndHeld } from "./ComfyUp.ts"

describe("ComfyUI v0.8.0, in rarer cases", () => {
  const version = "v0.8.0"
  const graph = (scenario: string, nth?: number) => ({ workflow: graphOf(version, scenario, nth) })
  const ready = (over?: Readonly<Record<string, string>>, faults?: Options["faults"]) =>
    up({ version, speed: 10, ...(faults === undefined ? {} : { faults }) }, over)

  live("every prompt that was recorded to its end ends as it did", () =>
    Effect.gen(function* () {
      const { start } = yield* up({ version, speed: 100 })
      const { all } = read(version)
      const ended = all.filter(({ id, past }) => id !== undefined && past !== undefined)
      assert.isAbove(ended.length, 40)
      for (const { graph: workflow, past, scenario } of ended) {
        // Ends only when it is stopped.
        if (JSON.stringify(past).includes("execution_interrupted")) continue
        const result = yield* Effect.result(start(jobOf({ workflow })))
        const { outputs, status } = past as { outputs: object; status: { status_str: string } }
        assert.strictEqual(result._tag === "Success", status.status_str === "success", scenario)
        if (result._tag === "Success")
          assert.includeMembers(
            Object.keys(outputs),
            result.success.outputs.map(({ node_id }) => node_id)
          )
        else assert.notStrictEqual(result.failure.kind, "ServiceUnavailable", scenario)
      }
    })
  )

  live("several outputs: lasting files are kept, temporary ones when there are no others or when asked for", () =>
    Effect.gen(function* () {
      const { run } = yield* ready()
      const lasting = yield* run(graph("28-multi-output"))
      assert.deepStrictEqual(new Set(lasting.outputs.map(({ node_id }) => node_id)), new Set(["3"]))
      assert.strictEqual(lasting.outputs.length, 3)
      const all = yield* run({ ...graph("28-multi-output"), save_temporary: true })
      assert.deepStrictEqual([all.outputs.length, all.assets.length], [6, 6])
      const preview = yield* run(graph("04-progress"))
      assert.strictEqual(preview.assets.length, 1)
    })
  )

  live("save_assets: false keeps nothing and names the files at the server", () =>
    Effect.gen(function* () {
      const { double, run } = yield* ready()
      const { assets, outputs } = yield* run({ ...graph("01-simple"), save_assets: false })
      assert.deepStrictEqual(assets, [])
      assert.deepInclude(outputs[0]?.file, { filename: "probe_00001_.png", type: "output" })
      assert.isFalse(double.requests.some((request) => request.includes("/view")))
    })
  )

  /** How often previews of a prompt with three of them were kept. */
  const timesKept = (isNamed: boolean, over: Readonly<Record<string, string>>, payload: object = {}) =>
    Effect.gen(function* () {
      let kept = 0
      const { afterPreviews, double, start, told } = yield* upAndHeld(version, over).pipe(
        Effect.updateService(AssetStore, (store) => ({
          ...store,
          savePreview: (...picture: Parameters<typeof store.savePreview>) => {
            kept++
            return store.savePreview(...picture)
          }
        }))
      )
      const fiber = yield* Effect.forkChild(start(jobOf({ ...graph("06-preview-metadata"), ...payload })))
      yield* afterPreviews
      yield* eventually("all previews are counted", () =>
        told.some(({ message }) => message?.endsWith(", preview 3") === true)
      )
      const names = () => told.some(({ preview }) => preview !== undefined)
      if (isNamed) yield* eventually("one is named", names)
      double.letGo()
      yield* Fiber.join(fiber)
      assert.strictEqual(names(), isNamed)
      return kept
    })

  live("of its previews no more are kept than was said", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* timesKept(true, { COMFYUI_PREVIEW_INTERVAL_MS: "3600000" }), 1)
      assert.strictEqual(yield* timesKept(false, { COMFYUI_PREVIEW_INTERVAL_MS: "0" }), 0)
      assert.strictEqual(yield* timesKept(false, {}, { save_assets: false }), 0)
    })
  )

  live("previews of a prompt that everybody hears of are not taken for its own", () =>
    Effect.gen(function* () {
      const { double, start, told } = yield* ready()
      double.hold()
      yield* Effect.promise(() =>
        fetch(`${double.url}/prompt`, {
          method: "POST",
          body: JSON.stringify({ prompt: graphOf(version, "05-preview-legacy") })
        })
      )
      const fiber = yield* Effect.forkChild(start(jobOf(graph("01-simple"))))
      yield* eventually("ours waits", () => double.queue().pending.length === 1)
      double.letGo()
      yield* Fiber.join(fiber)
      assert.isFalse(
        told.some(({ message, preview }) => preview !== undefined || message?.includes("preview") === true)
      )
    })
  )

  live("one output that is invalid is left out by the server, and named in the result", () =>
    Effect.gen(function* () {
      const { run } = yield* ready()
      const { assets, node_errors } = yield* run(graph("10-invalid", -2))
      assert.strictEqual(assets.length, 1)
      assert.deepStrictEqual(node_errors, [
        { node_id: "4", class_type: "SaveImage", input: "images", message: "Required input is missing" }
      ])
    })
  )

  live("an input is uploaded once under a name of its own, and put where the graph names it", () =>
    Effect.gen(function* () {
      const { double, run } = yield* ready()
      const real = Buffer.alloc(double.realImage)
      png.copy(real)
      const workflow = JSON.parse(JSON.stringify(graphOf(version, "12-loadimage", 3)).replace("real.png", "photo"))
      const inputs = { photo: `data:image/png;base64,${real.toString("base64")}` }
      assert.strictEqual((yield* run({ workflow, inputs })).assets.length, 1)
      assert.strictEqual((yield* run({ workflow, inputs })).assets.length, 1)
      assert.strictEqual(double.inputs.size, 1)
      assert.match([...double.inputs.keys()][0] ?? "", /^muster-[0-9a-f]{32}\.png$/)
    })
  )

  live("inputs that cannot be had, are empty, too large or used nowhere are invalid", () =>
    Effect.gen(function* () {
      const { double, run } = yield* ready({ COMFYUI_MAX_INPUT_MB: "1" })
      const workflow = { 1: { class_type: "LoadImage", inputs: { image: "photo" } } }
      const kind = (inputs: unknown) =>
        Effect.map(Effect.flip(run({ workflow, inputs })), (failure) => `${failure.kind}: ${failure.message}`)
      assert.match(yield* kind({ photo: { asset: "missing.png" } }), /^InvalidPayload: inputs.photo: there is no asset/)
      assert.match(yield* kind({ photo: "data:," }), /^InvalidPayload: inputs.photo: the file is empty/)
      assert.match(yield* kind({ photo: "/etc/passwd" }), /^InvalidPayload: .*photo/s)
      assert.match(yield* kind({ photo: { asset: "../secret" } }), /^InvalidPayload: /)
      assert.match(yield* kind({ photo: "data:,x", other: "data:,y" }), /^InvalidPayload: .*no value in the workflow/s)
      const large = `data:image/png;base64,${Buffer.alloc(1_100_000).toString("base64")}`
      assert.match(yield* kind({ photo: large }), /^InvalidPayload: the data URL is larger/)
      assert.deepStrictEqual([double.posted.length, double.inputs.size], [0, 0])
    })
  )

  live("a workflow as the editor saves it is told from one that was exported for the API", () =>
    Effect.gen(function* () {
      const { run } = yield* ready()
      const saved = { nodes: [{ id: 1, type: "SaveImage" }], links: [], version: 0.4 }
      const { kind, message } = yield* Effect.flip(run({ workflow: saved }))
      assert.strictEqual(kind, "InvalidPayload")
      assert.include(message, "export it for the API")
      // An id of a node may be any text.
      const graph = { nodes: graphOf(version, "01-simple")["1"] }
      assert.notInclude((yield* Effect.flip(run({ workflow: graph }))).message, "export it")
    })
  )

  live("an asset that was uploaded to Muster, or that a job made, can be an input", () =>
    Effect.gen(function* () {
      const { double, run } = yield* ready()
      const real = Buffer.alloc(double.realImage)
      png.copy(real)
      const store = yield* AssetStore
      const asset = yield* Effect.orDie(store.saveInput({ type: "image", content: Stream.make(real) }))
      const workflow = JSON.parse(JSON.stringify(graphOf(version, "12-loadimage", 3)).replace("real.png", "photo"))
      assert.strictEqual((yield* run({ workflow, inputs: { photo: { asset: asset.file_name } } })).assets.length, 1)
      const job = jobOf({})
      const made = yield* Effect.orDie(store.save({ job, type: "image", content: Stream.make(real) }))
      const inputs = { photo: { asset: made.file_name, job_id: job.id } }
      assert.strictEqual((yield* run({ workflow, inputs })).assets.length, 1)
      assert.strictEqual(double.inputs.size, 1)
    })
  )

  live("a file that is no image is an invalid payload", () =>
    Effect.gen(function* () {
      const { double, run } = yield* ready()
      double.inputs.set("fake.png", Buffer.alloc(12))
      const failure = yield* Effect.flip(run(graph("12-loadimage", 2)))
      assert.strictEqual(failure.kind, "InvalidPayload")
      assert.include(failure.message, "PIL.UnidentifiedImageError: cannot identify image file")
    })
  )

  live("a server that answers and runs nothing is not healthy, and its job goes elsewhere", () =>
    Effect.gen(function* () {
      const { double, running, start } = yield* ready({ COMFYUI_STALLED_SECONDS: "0.5" })
      double.killWorker()
      yield* running.health
      const failure = yield* Effect.flip(start(jobOf(graph("01-simple"))))
      assert.strictEqual(failure.kind, "ServiceUnavailable")
      assert.include(failure.message, "runs nothing")
      yield* eventually("the prompt is taken out of the queue", () => double.running() === 0)
      assert.include((yield* Effect.flip(running.health)).message, "runs nothing")
      // Nothing more is sent to it until it was away.
      assert.include((yield* Effect.flip(start(jobOf(graph("01-simple"))))).message, "runs nothing")
      assert.strictEqual(double.posted.length, 1)
      const away = Effect.filterOrFail(Effect.flip(running.health), ({ message }) => !message.includes("runs nothing"))
      yield* double.restart(Effect.orDie(Effect.retry(away, Schedule.spaced("10 millis"))))
      yield* running.health
    })
  )

  live("a prompt that someone deleted is gone", () =>
    Effect.gen(function* () {
      const { double, start } = yield* ready()
      const first = yield* Effect.forkChild(start(jobOf(graph("16-interrupt"))))
      yield* eventually("the first runs", () => double.queue().running !== undefined)
      const second = yield* Effect.forkChild(start(jobOf(graph("01-simple"))))
      yield* eventually("the second waits", () => double.queue().pending.length === 1)
      double.clear()
      const failure = yield* Effect.flip(Fiber.join(second))
      assert.deepStrictEqual([failure.kind, failure.message.includes("deleted")], ["ServiceUnavailable", true])
      yield* Fiber.interrupt(first)
    })
  )

  live("a history that has lost the prompt is made up for by what was heard", () =>
    Effect.gen(function* () {
      const { run } = yield* ready({}, { hidesPast: () => true })
      assert.strictEqual((yield* run(graph("01-simple"))).assets.length, 1)
      assert.strictEqual((yield* Effect.flip(run(graph("11-runtime-error", 1)))).kind, "ResourceExhausted")
    })
  )

  live("with no events at all the end is found by looking", () =>
    Effect.gen(function* () {
      const { run } = yield* ready({}, { message: () => [] })
      assert.strictEqual((yield* run(graph("04-progress"))).assets.length, 1)
    })
  )

  live("files that the server has lost are made again", () =>
    Effect.gen(function* () {
      const { double, start } = yield* ready()
      const job = jobOf(graph("04-progress"))
      yield* start(job)
      double.loseFiles()
      const again = yield* start({ ...job, attempt: 2 })
      assert.deepStrictEqual([again.adopted, again.assets.length, double.posted.length], [undefined, 1, 2])
    })
  )

  live("what failed before is not taken for the outcome of the next attempt", () =>
    Effect.gen(function* () {
      const { double, start } = yield* ready()
      const job = jobOf(graph("11-runtime-error", 0))
      yield* Effect.flip(start(job))
      yield* Effect.flip(start({ ...job, attempt: 2 }))
      assert.strictEqual(double.posted.length, 2)
    })
  )

  live("a prompt whose answer is lost is looked for, and not sent twice", () =>
    Effect.gen(function* () {
      const heeded = yield* ready(
        {},
        { answer: (path) => ({ delay_ms: 0, ...(path === "/prompt" ? { breaks: "after" } : {}) }) }
      )
      const { adopted, assets } = yield* heeded.run(graph("01-simple"))
      assert.deepStrictEqual([adopted, assets.length, heeded.double.posted.length], [undefined, 1, 1])
      const unheeded = yield* ready(
        {},
        { answer: (path) => ({ delay_ms: 0, ...(path === "/prompt" ? { breaks: "before" } : {}) }) }
      )
      assert.strictEqual((yield* Effect.flip(unheeded.run(graph("01-simple")))).kind, "ServiceUnavailable")
    })
  )

  live("a prompt of whose answer only the half came is looked for, and followed", () =>
    Effect.gen(function* () {
      const { double, run } = yield* ready(
        {},
        { answer: (path) => ({ delay_ms: 0, ...(path === "/prompt" ? { breaks: "within" } : {}) }) }
      )
      assert.strictEqual((yield* run(graph("01-simple"))).assets.length, 1)
      assert.strictEqual(double.posted.length, 1)
    })
  )

  live("an answer that makes no sense while it runs does not end it", () =>
    Effect.gen(function* () {
      let isSent = false
      let strange = 0
      const { double, run } = yield* ready(
        { COMFYUI_SILENCE_SECONDS: "0.05" },
        {
          message: () => [],
          answer: (path) => {
            const isStrange = path === "/queue" && isSent && strange < 3
            if (isStrange) strange++
            isSent ||= path === "/prompt"
            return { delay_ms: 0, ...(isStrange ? { breaks: "html" } : {}) }
          }
        }
      )
      assert.strictEqual((yield* run(graph("04-progress"))).assets.length, 1)
      assert.deepStrictEqual([strange, double.posted.length], [3, 1])
    })
  )

  live("a prompt that is not wanted any more is stopped, although the first tries to say so fail", () =>
    Effect.gen(function* () {
      let isStopping = false
      let failures = 0
      const { double, start } = yield* ready(
        {},
        {
          answer: (path) => {
            const fails = (path === "/interrupt" || path === "/queue") && isStopping && failures < 2
            if (fails) failures++
            return { delay_ms: 0, ...(fails ? { breaks: "before" } : {}) }
          }
        }
      )
      const fiber = yield* Effect.forkChild(start(jobOf(graph("16-interrupt"))))
      yield* eventually("it runs", () => double.queue().running !== undefined)
      isStopping = true
      yield* Fiber.interrupt(fiber)
      assert.isAbove(failures, 0)
      yield* eventually("it is stopped", () => double.running() === 0)
    })
  )

  live("a job that is not wanted any more while its earlier prompt is looked for leaves none behind", () =>
    Effect.gen(function* () {
      let isLooking = false
      const { double, start } = yield* ready(
        {},
        { answer: (path) => ({ delay_ms: isLooking && path.startsWith("/history") ? 500 : 0 }) }
      )
      const job = jobOf(graph("16-interrupt"))
      // Dies without a word: nothing is stopped at the server.
      const dead = yield* Effect.forkDetach(start(job))
      yield* eventually("it runs", () => double.queue().running !== undefined)
      const before = double.requests.length
      isLooking = true
      const fiber = yield* Effect.forkChild(start({ ...job, attempt: 2 }))
      yield* eventually("it looks", () => double.requests.slice(before).some((path) => path.includes("/history")))
      yield* Fiber.interrupt(fiber)
      yield* eventually("it is stopped", () => double.running() === 0)
      assert.strictEqual(double.posted.length, 1)
      yield* Fiber.interrupt(dead)
    })
  )

  live("what it offers is read from the server", () =>
    Effect.gen(function* () {
      const { running } = yield* ready()
      const offer = yield* running.offer ?? Effect.die("no offer")
      assert.deepStrictEqual(offer, {
        hardware: {},
        models: [],
        labels: { comfyui_version: "0.8.0", node_types: ["EmptyImage", "SaveImage"] }
      })
    })
  )

  it.each([
    [23.6, 24],
    [22.05, 24],
    [14.6, 16],
    [15.77, 16],
    [11.76, 12],
    [10.9, 11],
    [39.4, 40],
    [79.1, 80],
    [139.8, 141],
    [7.6, 8],
    [24, 24],
    [0.5, 0]
  ])("%s GiB are sold as %s GB", (reported, sold) => {
    assert.strictEqual(nominalGigabytes(reported * 1024 ** 3), sold)
  })
})
