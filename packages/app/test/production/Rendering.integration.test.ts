/**
 * ComfyUI and the Stable Diffusion web UI by workers as processes, against the doubles of both: what is seen of a job
 * while it runs, its assets in a folder, what a cancel does to the service, and a worker that is killed in the middle.
 */
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { existsSync } from "node:fs"
import { join } from "node:path"
import * as EventReader from "../../../http-server/test/EventReader.ts"
import { png } from "../../../connectors/test/assets/AssetStoreSuite.ts"
import { comfyDouble, graphOf } from "../../../connectors/test/doubles/ComfyDouble.ts"
import { webUiDouble } from "../../../connectors/test/doubles/WebUiDouble.ts"
import { muster, start } from "../operator/operator.ts"
import { eventually, serving, sha256 } from "./serviceJobs.ts"

const make = serving("server")

class Broker extends Context.Service<Broker, Effect.Success<typeof make>>()("Broker") {
  static readonly layer = Layer.effect(Broker, make)
}

const version = "v0.8.0"
const graph = (scenario: string) => ({ workflow: graphOf(version, scenario) })

/** A double of ComfyUI, and a worker for it. */
const comfy = Effect.fnUntraced(function* (id: string) {
  const { worker } = yield* Broker
  const double = yield* comfyDouble({ version })
  return { double, worker: yield* worker(id, { CONNECTORS: "comfyui", COMFYUI_URL: double.url }) }
})

interface Progress {
  readonly percent: number
  readonly message?: string
}

/** An event, or the job as it was found and as it ended. */
interface Line {
  readonly type: string
  readonly job?: { readonly status: string; readonly progress: Progress | null }
  readonly progress?: Progress
}

/** What ComfyUI remembers of a prompt. */
interface History {
  readonly status: { readonly status_str: string }
}

/** `muster job watch` from when it has the job, and what it has told since. */
const watching = Effect.fnUntraced(function* (id: string) {
  const { url } = yield* Broker
  const { ended, stdout } = yield* start(["job", "watch", id, "--json"], { env: { MUSTER_URL: url } })
  const lines = Effect.map(stdout, (text) =>
    text
      .slice(0, text.lastIndexOf("\n") + 1)
      .split("\n")
      .flatMap((line): ReadonlyArray<Line> => (line === "" ? [] : [JSON.parse(line)]))
  )
  yield* eventually("it watches", lines, ([first]) => first?.type === "snapshot")
  return { lines, ended: Effect.andThen(ended, lines), code: Effect.map(ended, ({ code }) => code) }
})

const progressOf = (lines: ReadonlyArray<Line>) =>
  lines.flatMap(({ job, progress = job?.progress }) => (progress == null ? [] : [progress]))

layer(Broker.layer, { timeout: "90 seconds", excludeTestServices: true })("rendering", (it) => {
  it.effect(
    "a workflow runs end to end: its progress is watched, its picture is in the folder and comes over HTTP",
    () =>
      Effect.gen(function* () {
        const { assetsOf, becomes, env, submit, url } = yield* Broker
        const { double } = yield* comfy("comfy")
        double.hold()
        const id = yield* submit("comfyui", graph("04-progress"))
        yield* eventually("it runs", Effect.sync(double.queue), ({ running }) => running !== undefined)
        const watch = yield* watching(id)
        const stream = yield* EventReader.open(Number(new URL(url).port), `/jobs/${id}/events`)
        double.letGo()
        const done = yield* becomes(id, "completed")
        const lines = yield* watch.ended
        assert.strictEqual(yield* watch.code, 0)
        assert.strictEqual(lines.at(-1)?.job?.status, "completed")
        const percents = progressOf(lines).map(({ percent }) => percent)
        assert.strictEqual(percents.at(-1), 100)
        assert.deepStrictEqual(
          percents,
          percents.toSorted((one, other) => one - other)
        )
        const frames = yield* stream.until(EventReader.named("job.completed"))
        assert.includeMembers([...EventReader.names(frames)], ["job.progress", "job.completed"])

        const [bytes] = yield* assetsOf(done)
        const [asset] = done.result!.assets
        assert.strictEqual(asset!.content_type, "image/png")
        assert.strictEqual(bytes!.length, asset!.size)
        assert.isTrue(existsSync(join(env.MUSTER_WORKSPACE, "assets", "jobs", id, asset!.file_name)))
        assert.strictEqual(double.posted.length, 1)

        const unknown = yield* muster(
          ["job", "submit", "comfyui", "--payload", JSON.stringify(graph("10-invalid")), "--wait"],
          { env: { MUSTER_URL: url } }
        )
        assert.strictEqual(unknown.code, 1)
        assert.match(unknown.stderr, /failed: InvalidPayload: .*NoSuchNode/)
      }).pipe(Effect.scoped),
    240_000
  )

  it.effect(
    "a cancel interrupts the prompt of that job, and what waits behind it for others is rendered",
    () =>
      Effect.gen(function* () {
        const { becomes, submit, url } = yield* Broker
        const { double } = yield* comfy("comfy")
        const id = yield* submit("comfyui", graph("16-interrupt"))
        const watch = yield* watching(id)
        yield* eventually("its progress is seen", watch.lines, (lines) =>
          progressOf(lines).some(({ message }) => message?.startsWith("ProbeProgress ") === true)
        )
        const ours = double.queue().running
        const others = yield* Effect.promise(async () => {
          const body = JSON.stringify({ prompt: graph("01-simple").workflow, client_id: "others" })
          const answer = await fetch(`${double.url}/prompt`, { method: "POST", body })
          return ((await answer.json()) as { prompt_id: string }).prompt_id
        })
        assert.deepStrictEqual(double.queue(), { running: ours, pending: [others] })
        const cancelled = yield* muster(["job", "cancel", id], { env: { MUSTER_URL: url } })
        assert.strictEqual(cancelled.code, 0, cancelled.stderr)
        yield* becomes(id, "cancelled")
        assert.strictEqual((yield* watch.ended).at(-1)?.job?.status, "cancelled")
        assert.strictEqual(yield* watch.code, 1)
        yield* eventually("theirs is rendered", Effect.sync(double.past), (past) => past.includes(others))
        assert.strictEqual(double.requests.filter((request) => request === "POST /interrupt").length, 1)
        const told = yield* Effect.promise(
          async () => (await fetch(`${double.url}/history`)).json() as Promise<Record<string, History>>
        )
        assert.deepStrictEqual(
          [ours!, others].map((prompt) => told[prompt]?.status.status_str),
          ["error", "success"]
        )
      }).pipe(Effect.scoped),
    240_000
  )

  it.effect(
    "a worker that is killed while it renders finds its prompt again, and renders once",
    () =>
      Effect.gen(function* () {
        const { assetsOf, attempts, becomes, submit } = yield* Broker
        const { double, worker } = yield* comfy("comfy")
        double.hold()
        const id = yield* submit("comfyui", graph("04-progress"))
        yield* eventually("it runs", Effect.sync(double.queue), ({ running }) => running !== undefined)
        const prompt = double.queue().running
        yield* worker.kill
        yield* eventually("its socket is gone", Effect.sync(double.clients), (clients) => clients === 0)
        yield* worker.restart
        yield* eventually("it is tried again", attempts(id), ({ length }) => length === 2)
        yield* eventually("its successor listens", Effect.sync(double.clients), (clients) => clients > 0)
        double.letGo()
        const done = yield* becomes(id, "completed")
        assert.deepStrictEqual([done.attempt, done.result?.adopted, done.result?.prompt_id], [2, true, prompt])
        assert.deepStrictEqual(yield* attempts(id), ["lost", "completed"])
        assert.deepStrictEqual([double.posted.length, double.past()], [1, [prompt]])
        assert.strictEqual((yield* assetsOf(done)).length, 1)
      }).pipe(Effect.scoped),
    240_000
  )

  it.effect(
    "images of the web UI: from text, from an image that was uploaded, and one that is stopped",
    () =>
      Effect.gen(function* () {
        const { assetsOf, becomes, keep, submit, worker } = yield* Broker
        const double = yield* webUiDouble({ tellsTasks: true })
        yield* worker("web", { CONNECTORS: "a1111", A1111_URL: double.url, A1111_POLL_INTERVAL_MS: "20" })
        const text = yield* becomes(yield* submit("a1111", { prompt: "a cat", steps: 4, batch_size: 2 }), "completed")
        assert.deepStrictEqual((yield* assetsOf(text)).map(sha256), Array(2).fill(sha256(png)))
        const asset = yield* keep(new Uint8Array(png))
        const again = yield* submit("a1111", { mode: "img2img", prompt: "with a hat", init_images: [{ asset }] })
        assert.deepStrictEqual((yield* assetsOf(yield* becomes(again, "completed"))).map(sha256), [sha256(png)])
        assert.deepStrictEqual(
          double.asked.map(({ mode }) => mode),
          ["txt2img", "img2img"]
        )

        const endless = yield* submit("a1111", { prompt: "endless" })
        const watch = yield* watching(endless)
        yield* eventually("its progress is seen", watch.lines, (lines) =>
          progressOf(lines).some(({ percent }) => percent > 0)
        )
        const { url } = yield* Broker
        assert.strictEqual((yield* muster(["job", "cancel", endless], { env: { MUSTER_URL: url } })).code, 0)
        yield* eventually("it is stopped", Effect.sync(double.running), (running) => running === 0)
        assert.deepStrictEqual(double.interrupted, [double.asked.at(-1)?.request.force_task_id])
      }).pipe(Effect.scoped),
    240_000
  )
})
