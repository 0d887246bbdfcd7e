import { connector } from "@muster/connectors/ComfyUIWebSocketConnector"
import { AssetStore } from "@muster/core/connector/AssetStore"
import { assert, describe } from "@effect/vitest"
import { Effect, Fiber, Option, Stream } from "effect"
import { environmentOf, live, up, upAndHeld, versions } from "./comfyui/ComfyUp.ts"
import { acquire, eventually, jobOf, suite } from "./ConnectorSuite.ts"
import { comfyDouble, graphOf } from "./doubles/ComfyDouble.ts"

suite("ComfyUIWebSocketConnector", {
  connector,
  service: Effect.map(comfyDouble({ version: "v0.8.0", speed: 10 }), (double) => ({
    ...double,
    environment: environmentOf(double.url, { COMFYUI_MAX_RETRIES: "0" }),
    impatient: { COMFYUI_TIMEOUT_SECONDS: "1" }
  })),
  quick: { workflow: graphOf("v0.8.0", "01-simple") },
  endless: { workflow: graphOf("v0.8.0", "16-interrupt") },
  invalid: { workflow: {} }
})

for (const version of versions) {
  describe(`ComfyUI ${version}`, () => {
    const graph = (scenario: string, nth?: number) => ({ workflow: graphOf(version, scenario, nth) })
    const ready = (over?: Readonly<Record<string, string>>) => up({ version, speed: 10 }, over)

    live("a plain prompt: its file is kept, progress goes over the whole graph", () =>
      Effect.gen(function* () {
        const { double, run, told } = yield* ready()
        const { assets, cached_nodes, outputs } = yield* run(graph("01-simple"))
        assert.deepStrictEqual(
          outputs.map(({ class_type, name, node_id }) => ({ class_type, name, node_id })),
          [{ class_type: "SaveImage", name: "images", node_id: "3" }]
        )
        assert.deepStrictEqual([assets.length, assets[0]?.content_type, assets[0]?.type], [1, "image/png", "image"])
        assert.strictEqual(outputs[0]?.asset, assets[0]?.file_name)
        assert.strictEqual(cached_nodes, 0)
        const percents = told.map(({ percent }) => percent)
        assert.deepStrictEqual(
          percents,
          percents.toSorted((one, other) => one - other)
        )
        assert.includeMembers(
          percents.map((percent) => Math.round(percent)),
          [32, 63, 95, 100]
        )
        assert.strictEqual(double.posted.length, 1)
        assert.isUndefined(double.posted[0]?.number)
      })
    )

    live("the same prompt again is wholly cached, and found to be done", () =>
      Effect.gen(function* () {
        const { run } = yield* ready()
        yield* run(graph("02-cached", 0))
        const { assets, cached_nodes } = yield* run(graph("02-cached", 1))
        assert.deepStrictEqual([assets.length, cached_nodes], [1, 3])
      })
    )

    live("steps of a node are part of the progress", () =>
      Effect.gen(function* () {
        const { run, told } = yield* ready()
        const { assets } = yield* run(graph("04-progress"))
        assert.strictEqual(assets.length, 1)
        const steps = told.filter(({ total_steps }) => total_steps === 5).map(({ message, step }) => [step, message])
        assert.deepInclude(steps, [3, "ProbeProgress 3/5"])
        const third = told.find(({ step }) => step === 3)
        assert.approximately(third?.percent ?? 0, (95 * (1 + 3 / 5)) / 3, 0.1)
      })
    )

    live("the picture of a preview is an asset of the job that its progress names", () =>
      Effect.gen(function* () {
        const { afterPreviews, double, start, told } = yield* upAndHeld(version)
        const job = jobOf(graph(version === "2024-06" ? "05-preview-legacy" : "06-preview-metadata"))
        const fiber = yield* Effect.forkChild(start(job))
        yield* afterPreviews
        yield* eventually("a preview is named", () => told.some(({ preview }) => preview !== undefined))
        const file_name = told.find(({ preview }) => preview !== undefined)?.preview ?? ""
        assert.strictEqual(file_name, `${job.id}-1-preview.jpg`)
        const store = yield* AssetStore
        const found = Option.getOrThrow(yield* Effect.orDie(store.open(job.id, file_name)))
        const bytes = Buffer.concat(yield* Effect.orDie(Stream.runCollect(found.content)))
        assert.strictEqual(found.content_type, "image/jpeg")
        assert.strictEqual(bytes.subarray(0, 4).toString("hex"), "ffd8ffe0")
        yield* eventually("all are counted", () =>
          told.some(({ message }) => message?.endsWith(", preview 3") === true)
        )
        double.letGo()
        const { assets } = yield* Fiber.join(fiber)
        assert.strictEqual(assets.length, 1)
        assert.notStrictEqual(assets[0]?.file_name, file_name)
        assert.deepStrictEqual(told.at(-1), { percent: 100, message: "done" })
      })
    )

    live("what the server refuses is an invalid payload that names node and input", () =>
      Effect.gen(function* () {
        const { run } = yield* ready()
        const said = (nth: number) =>
          Effect.map(Effect.flip(run(graph("10-invalid", nth))), ({ kind, message }) => `${kind}: ${message}`)
        const all = [yield* said(0), yield* said(5), yield* said(7), yield* said(11)]
        assert.match(all[0] ?? "", /^InvalidPayload: .*(NoSuchNode|#2)/)
        assert.match(all[1] ?? "", /^InvalidPayload: .*node 2 \(ImageInvert\), input image: Required input is missing$/)
        assert.match(
          all[2] ?? "",
          /^InvalidPayload: .*node 1 \(EmptyImage\), input width: Value 999999 bigger than max/
        )
        assert.match(all[3] ?? "", /^InvalidPayload: .*node 2 \(ImageScale\), input upscale_method: Value not in list/)
      })
    )

    live("what a node raises decides the kind", () =>
      Effect.gen(function* () {
        const { run } = yield* ready()
        const plain = yield* Effect.flip(run(graph("11-runtime-error", 0)))
        assert.deepStrictEqual(
          [plain.kind, plain.message],
          ["ProtocolError", "node 2 (ProbeRaise) failed: RuntimeError: probe failure"]
        )
        const memory = yield* Effect.flip(run(graph("11-runtime-error", 1)))
        assert.strictEqual(memory.kind, "ResourceExhausted")
        assert.isBelow(memory.message.length, 300)
      })
    )

    live("a socket that breaks in the middle comes back, and nothing is lost", () =>
      Effect.gen(function* () {
        const { run, told } = yield* ready()
        const { assets } = yield* run(graph("21-reconnect"))
        assert.strictEqual(assets.length, 1)
        assert.isTrue(told.some(({ step }) => step === 4))
      })
    )

    live("a prompt whose events nobody heard is found in the history", () =>
      Effect.gen(function* () {
        const { run } = yield* ready()
        assert.strictEqual((yield* run(graph("20-late-ws"))).assets.length, 1)
      })
    )

    live("two at once, and a third that everybody hears of: each finds its own end", () =>
      Effect.gen(function* () {
        const { run } = yield* ready()
        const all = yield* Effect.all(
          [0, 1, 2].map((nth) => run(graph("14-two-at-once", nth))),
          { concurrency: 3 }
        )
        assert.deepStrictEqual(
          all.map(({ assets }) => assets.length),
          [1, 1, 1]
        )
      })
    )

    live("a prompt that another client stops is tried again", () =>
      Effect.gen(function* () {
        const { double, start } = yield* ready()
        const fiber = yield* Effect.forkChild(start(jobOf(graph("16-interrupt"))))
        yield* eventually("it runs", () => double.queue().running !== undefined)
        double.interruptRunning()
        const failure = yield* Effect.flip(Fiber.join(fiber))
        assert.deepStrictEqual(
          [failure.kind, failure.message],
          ["ServiceUnavailable", "the prompt was interrupted at ComfyUI"]
        )
      })
    )

    live("only its own prompt is stopped: a waiting one is taken out, and what runs for others goes on", () =>
      Effect.gen(function* () {
        const { double, start } = yield* ready()
        const others = yield* Effect.orDie(acquire(connector, environmentOf(double.url)))
        const theirs = yield* Effect.forkChild(others.process(jobOf(graph("16-interrupt")), () => Effect.void))
        yield* eventually("theirs runs", () => double.queue().running !== undefined)
        const { running } = double.queue()
        const ours = yield* Effect.forkChild(start(jobOf(graph("16-interrupt"))))
        yield* eventually("ours waits", () => double.queue().pending.length === 1)
        yield* Fiber.interrupt(ours)
        assert.strictEqual(double.queue().pending.length, 0)
        assert.isFalse(double.requests.includes("POST /interrupt"))
        assert.strictEqual(double.queue().running, running)
        yield* Fiber.interrupt(theirs)
      })
    )

    live("its own prompt is interrupted while it runs, and the one behind it goes on", () =>
      Effect.gen(function* () {
        const { double, start } = yield* ready()
        const ours = yield* Effect.forkChild(start(jobOf(graph("16-interrupt"))))
        yield* eventually("ours runs", () => double.queue().running !== undefined)
        const behind = yield* Effect.forkChild(start(jobOf(graph("01-simple"))))
        yield* eventually("another waits", () => double.queue().pending.length === 1)
        yield* Fiber.interrupt(ours)
        assert.strictEqual((yield* Fiber.join(behind)).assets.length, 1)
        assert.strictEqual(double.requests.filter((request) => request === "POST /interrupt").length, 1)
      })
    )

    live("a restart in the middle is told as soon as it is back", () =>
      Effect.gen(function* () {
        const { double, start } = yield* ready()
        const fiber = yield* Effect.forkChild(start(jobOf(graph("16-interrupt"))))
        yield* eventually("it runs", () => double.queue().running !== undefined)
        yield* double.restart(Effect.sleep("300 millis"))
        const failure = yield* Effect.flip(Fiber.join(fiber))
        assert.strictEqual(failure.kind, "ServiceUnavailable")
        assert.include(failure.message, "neither queue nor history")
      })
    )

    live("a prompt that was sent before the worker died is gone on with", () =>
      Effect.gen(function* () {
        const { double, start } = yield* ready()
        const job = jobOf(graph("04-progress"))
        // Dies without a word: nothing is stopped at the server.
        const dead = yield* Effect.forkDetach(start(job))
        yield* eventually("it runs", () => double.queue().running !== undefined)
        const { adopted, assets } = yield* start({ ...job, attempt: 2 })
        assert.deepStrictEqual([adopted, assets.length, double.posted.length], [true, 1, 1])
        yield* Fiber.interrupt(dead)
      })
    )

    live("what an earlier attempt finished is not made again, nor waited for", () =>
      Effect.gen(function* () {
        const { double, start } = yield* ready({ COMFYUI_SILENCE_SECONDS: "60" })
        const job = jobOf(graph("01-simple"))
        const first = yield* start(job)
        const second = yield* start({ ...job, attempt: 2 })
        assert.deepStrictEqual([second.adopted, second.prompt_id, double.posted.length], [true, first.prompt_id, 1])
      })
    )
  })
}
