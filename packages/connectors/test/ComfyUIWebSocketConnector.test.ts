import { connector } from "@muster/connectors/ComfyUIWebSocketConnector"
import { nominalGigabytes } from "@muster/connectors/comfyui/ComfyOffer"
import { Asset } from "@muster/core/connector/Asset"
import { AssetStore } from "@muster/core/connector/AssetStore"
import type { ConnectorJob } from "@muster/core/connector/Connector"
import type { Progress } from "@muster/core/job/Job"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schedule, Schema, Stream } from "effect"
import { acquire, eventually, jobOf, services, suite } from "./ConnectorSuite.ts"
import { png } from "./assets/AssetStoreSuite.ts"
import { comfyDouble, graphOf, type Options } from "./doubles/ComfyDouble.ts"
import { read } from "./doubles/ComfyRecording.ts"

const environmentOf = (url: string, over: Readonly<Record<string, string>> = {}) => ({
  COMFYUI_URL: url,
  COMFYUI_TIMEOUT_SECONDS: "2",
  COMFYUI_MAX_RETRIES: "1",
  COMFYUI_SILENCE_SECONDS: "0.2",
  COMFYUI_PATIENCE_SECONDS: "5",
  COMFYUI_STALLED_SECONDS: "0.5",
  ...over
})

suite("ComfyUIWebSocketConnector", {
  connector,
  service: Effect.map(comfyDouble({ version: "v0.8.0", speed: 10 }), (double) => ({
    ...double,
    environment: environmentOf(double.url, { COMFYUI_TIMEOUT_SECONDS: "1", COMFYUI_MAX_RETRIES: "0" })
  })),
  quick: { workflow: graphOf("v0.8.0", "01-simple") },
  endless: { workflow: graphOf("v0.8.0", "16-interrupt") },
  invalid: { workflow: {} }
})

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
const up = (options: Options, over: Readonly<Record<string, string>> = {}) =>
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

const live = <A, E>(title: string, body: () => Effect.Effect<A, E, Effect.Services<ReturnType<typeof up>>>) =>
  it.live(title, () => body().pipe(Effect.scoped, Effect.provide(services)), 30_000)

const versions = ["v0.8.0", "v0.3.64", "2024-06"] as const

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

    live("previews are counted, and their bytes dropped", () =>
      Effect.gen(function* () {
        const { run, told } = yield* ready()
        yield* run(graph("05-preview-legacy"))
        assert.isTrue(told.some(({ message }) => message?.endsWith(", preview 3")))
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

    live("a restart in the middle is told as soon as it is back", () =>
      Effect.gen(function* () {
        const { double, start } = yield* ready()
        const fiber = yield* Effect.forkChild(start(jobOf(graph("16-interrupt"))))
        yield* eventually("it runs", () => double.queue().running !== undefined)
        yield* double.restart(300)
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

    live("what an earlier attempt finished is not made again", () =>
      Effect.gen(function* () {
        const { double, start } = yield* ready()
        const job = jobOf(graph("01-simple"))
        const first = yield* start(job)
        const second = yield* start({ ...job, attempt: 2 })
        assert.deepStrictEqual([second.adopted, second.prompt_id, double.posted.length], [true, first.prompt_id, 1])
      })
    )
  })
}

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
      assert.match(yield* kind({ photo: { asset: "missing.png" } }), /^InvalidPayload: input photo: there is no asset/)
      assert.match(yield* kind({ photo: "data:," }), /^InvalidPayload: input photo is empty/)
      assert.match(yield* kind({ photo: "/etc/passwd" }), /^InvalidPayload: .*\["photo"\]/s)
      assert.match(yield* kind({ photo: { asset: "../secret" } }), /^InvalidPayload: /)
      assert.match(yield* kind({ photo: "data:,x", other: "data:,y" }), /^InvalidPayload: no value in the workflow/)
      const large = `data:image/png;base64,${Buffer.alloc(1_100_000).toString("base64")}`
      assert.match(yield* kind({ photo: large }), /^InvalidPayload: the data URL is larger/)
      assert.deepStrictEqual([double.posted.length, double.inputs.size], [0, 0])
    })
  )

  live("an asset that was uploaded to Muster can be an input", () =>
    Effect.gen(function* () {
      const { double, run } = yield* ready()
      const real = Buffer.alloc(double.realImage)
      png.copy(real)
      const store = yield* AssetStore
      const asset = yield* Effect.orDie(store.saveInput({ type: "image", content: Stream.make(real) }))
      const workflow = JSON.parse(JSON.stringify(graphOf(version, "12-loadimage", 3)).replace("real.png", "photo"))
      assert.strictEqual((yield* run({ workflow, inputs: { photo: { asset: asset.file_name } } })).assets.length, 1)
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
      const { double, running, start } = yield* ready()
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
      const back = yield* Effect.forkChild(double.restart(200))
      const away = Effect.filterOrFail(Effect.flip(running.health), ({ message }) => !message.includes("runs nothing"))
      yield* Effect.orDie(Effect.retry(away, { times: 100, schedule: Schedule.spaced("10 millis") }))
      yield* Fiber.join(back)
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

  live("an answer to a submit that is lost does not send the prompt twice", () =>
    Effect.gen(function* () {
      let isFirst = true
      const answer = (path: string) => {
        const isLost = path === "/prompt" && isFirst
        if (isLost) isFirst = false
        return { delay_ms: isLost ? 3_000 : 0, breaks: false }
      }
      const { double, run } = yield* ready({ COMFYUI_TIMEOUT_SECONDS: "1" }, { answer })
      const failure = yield* Effect.flip(run(graph("01-simple")))
      // It was not taken within the time; what comes of it later is nobody's.
      assert.strictEqual(failure.kind, "Timeout")
      assert.isAtMost(double.posted.length, 1)
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

/** Numbers that look random and are the same each time. */
const randomOf = (seed: number) => () => {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
  return seed / 2 ** 32
}

describe("whatever befalls messages and answers, the end is found and is right", () => {
  for (const version of versions) {
    live(version, () =>
      Effect.gen(function* () {
        for (let seed = 1; seed <= 6; seed++) {
          const random = randomOf(seed * 7_919)
          let isHidden = false
          const { double, start, told } = yield* up(
            {
              version,
              speed: 20,
              faults: {
                message: () => {
                  const chance = random()
                  if (chance < 0.25) return []
                  if (chance < 0.4) return [0, Math.floor(random() * 60)]
                  return chance < 0.7 ? [Math.floor(random() * 60)] : [0]
                },
                answer: (path) => {
                  // Nobody can tell whether a prompt was taken whose answer broke: that has a test of its own.
                  const mayBreak = path !== "/prompt" && !path.startsWith("/view") && random() < 0.1
                  return { breaks: mayBreak, delay_ms: random() < 0.3 ? Math.floor(random() * 40) : 0 }
                },
                // Late, but not for ever.
                hidesPast: () => (isHidden = !isHidden && random() < 0.2)
              }
            },
            { COMFYUI_SILENCE_SECONDS: "0.1", COMFYUI_MAX_RETRIES: "3" }
          )
          const cuts = yield* Effect.forkChild(
            Effect.forever(Effect.andThen(Effect.sleep("120 millis"), Effect.sync(double.cut)))
          )
          const good = yield* start(jobOf({ workflow: graphOf(version, "04-progress") }))
          const percents = told.map(({ percent }) => percent)
          assert.deepStrictEqual(
            percents,
            percents.toSorted((one, other) => one - other)
          )
          assert.deepStrictEqual([good.outputs[0]?.node_id, good.assets.length], ["3", 1], `seed ${seed}`)
          const bad = yield* Effect.flip(start(jobOf({ workflow: graphOf(version, "11-runtime-error", 1) })))
          assert.strictEqual(bad.kind, "ResourceExhausted", `seed ${seed}`)
          assert.strictEqual(double.posted.length, 2)
          yield* Fiber.interrupt(cuts)
        }
      })
    )
  }
})
