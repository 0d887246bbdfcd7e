import * as ComfyFailure from "@muster/connectors/comfyui/ComfyFailure"
import { binaryReader } from "@muster/connectors/comfyui/ComfyMessages"
import * as ComfyServer from "@muster/connectors/comfyui/ComfyServer"
import * as GraphProgress from "@muster/connectors/comfyui/GraphProgress"
import * as PromptId from "@muster/connectors/comfyui/PromptId"
import * as PromptOutputs from "@muster/connectors/comfyui/PromptOutputs"
import { makeOurs } from "@muster/connectors/comfyui/PromptWatch"
import { largestPreview } from "@muster/core/connector/AssetStore"
import { JobId } from "@muster/core/job/Job"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { services } from "../ConnectorSuite.ts"

const jobId = JobId.make("job-1")

describe("ComfyFailure", () => {
  it.each([
    ["torch.cuda.OutOfMemoryError", "no", "ResourceExhausted"],
    ["torch.OutOfMemoryError", "Allocation on device", "ResourceExhausted"],
    ["RuntimeError", "CUDA out of memory. Tried to allocate 2 GiB", "ResourceExhausted"],
    ["MemoryError", "", "ResourceExhausted"],
    ["RuntimeError", "something else", "ProtocolError"],
    ["ValueError", "bad", "InvalidPayload"],
    ["PIL.UnidentifiedImageError", "no image", "InvalidPayload"],
    ["FileNotFoundError", "model.safetensors", "ServiceUnavailable"],
    ["SomethingOfAnExtension", "", "ProtocolError"]
  ])("%s (%s) is %s", (exception_type, exception_message, kind) => {
    assert.strictEqual(ComfyFailure.ofExecution({ exception_type, exception_message }).kind, kind)
  })

  it("says little about errors that are long", () => {
    const failure = ComfyFailure.ofExecution({ exception_message: "x".repeat(200_000), node_type: "y".repeat(5_000) })
    assert.isBelow(failure.message.length, 600)
  })

  it("says something about a refusal that was too long to be read whole", () => {
    const text =
      '{"error": {"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation"}, ' +
      '"node_errors": {"4": {"errors": [{"type": "value_not_in_list", "message": "Value not in list", ' +
      '"details": "ckpt", "extra_info": {"input_name": "ckpt_name", "input_config": [["a", '
    assert.strictEqual(ComfyFailure.words(text), "node 4, input ckpt_name: Value not in list")
  })
})

describe("PromptId", () => {
  const job = { id: jobId, attempt: 3, payload: { workflow: { 1: {}, a: { x: 1, y: 2 } } } }

  it("is a UUID made of job and attempt, whatever order its keys have", () => {
    assert.match(PromptId.ofAttempt(job, 1), /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    const same = { ...job, payload: { workflow: { a: { y: 2, x: 1 }, 1: {} } } }
    assert.strictEqual(PromptId.ofAttempt(same, 1), PromptId.ofAttempt(job, 1))
    const others = [PromptId.ofAttempt(job, 2), PromptId.ofAttempt({ ...job, payload: {} }, 1)]
    assert.strictEqual(new Set([PromptId.ofAttempt(job, 1), ...others]).size, 3)
  })

  it("is looked for among the attempts before, the latest first, and not among all", () => {
    assert.deepStrictEqual(
      PromptId.ofAttempts(job),
      [3, 2, 1].map((attempt) => PromptId.ofAttempt(job, attempt))
    )
    assert.strictEqual(PromptId.ofAttempts({ ...job, attempt: 1_000 }).length, 10)
  })
})

describe("PromptOutputs", () => {
  it.live("says how much it left out", () =>
    Effect.gen(function* () {
      const server = yield* ComfyServer.make({
        url: "http://127.0.0.1:1",
        headers: {},
        timeout: Duration.seconds(1),
        maxRetries: 0
      })
      const images = Array.from({ length: 10_003 }, (_, nth) => ({ filename: `${nth}.png`, type: "output" }))
      const saved = yield* PromptOutputs.save({
        server,
        job: { id: jobId, attempt: 1 },
        workflow: {},
        outputs: { 1: { images, text: Array.from({ length: 1_002 }, () => "a text") } },
        save: false,
        temporary: undefined,
        report: () => Effect.void
      })
      assert.deepStrictEqual([saved.outputs.length, saved.left_out], [11_000, 5])
    }).pipe(Effect.provide(services))
  )
})

describe("GraphProgress", () => {
  const node = { class_type: "Node", inputs: {} }

  it("never goes back, whatever order events come in and however often", () => {
    const progress = GraphProgress.make({ 1: node, 2: node, 3: node })
    const at = (value: number) =>
      progress.hear({ type: "progress", data: { prompt_id: "p", node: "2", value, max: 10 } })?.percent
    assert.approximately(at(5) ?? 0, (95 * 0.5) / 3, 0.01)
    assert.approximately(at(2) ?? 0, (95 * 0.5) / 3, 0.01)
    const cached = { type: "execution_cached", data: { prompt_id: "p", nodes: ["1", "made-by-another"] } } as const
    assert.approximately(progress.hear(cached)?.percent ?? 0, (95 * 1.5) / 3, 0.01)
    assert.isUndefined(progress.hear(cached))
    assert.strictEqual(progress.cached(), 1)
    assert.isUndefined(progress.hear({ type: "progress", data: { prompt_id: "p", node: "2", value: 2, max: 0 } })?.step)
  })
})

describe("previews", () => {
  const picture = Buffer.from("ffd8ffe0", "hex")
  const frame = (type: number, second: number, ...rest: ReadonlyArray<Uint8Array>) => {
    const head = Buffer.alloc(8)
    head.writeUInt32BE(type)
    head.writeUInt32BE(second, 4)
    return Buffer.concat([head, ...rest])
  }
  const withMetadata = (metadata: string, length = metadata.length) => frame(4, length, Buffer.from(metadata), picture)
  const preview = (prompt_id: string | undefined, picture: Buffer | undefined) => ({
    type: "preview" as const,
    prompt_id,
    picture
  })

  it("are read with and without metadata, and nothing else is", () => {
    const read = (bytes: Buffer) => binaryReader()(bytes)
    assert.deepStrictEqual(read(frame(1, 1, picture)), preview(undefined, picture))
    assert.deepStrictEqual(read(withMetadata('{"prompt_id": "p", "node_id": "2"}')), preview("p", picture))
    assert.deepStrictEqual(read(withMetadata("{}")), preview(undefined, picture))
    const large = Buffer.alloc(largestPreview + 1)
    assert.deepStrictEqual(read(frame(1, 2, large)), preview(undefined, undefined))
    const broken = [withMetadata("no JSON"), withMetadata('{"prompt_id": 1}'), withMetadata("{}", 10_000_000)]
    for (const other of [...broken, frame(2, 1, picture), frame(3, 1, picture), Buffer.from([0, 0, 0, 1])]) {
      assert.isUndefined(read(other))
    }
  })

  it("hold one picture, however many wait to be taken", () => {
    const read = binaryReader()
    const [one, other] = [read(frame(1, 1, picture)), read(frame(1, 1, picture))]
    assert.deepStrictEqual([one, other], [preview(undefined, undefined), preview(undefined, picture)])
  })

  it("are ours when they name our prompt, or none while ours is what runs", () => {
    const ours = makeOurs("ours")
    const unnamed = () => ours(preview(undefined, picture))
    const executing = (prompt_id: string, node: string | null) => ours({ type: "executing", data: { prompt_id, node } })
    assert.deepStrictEqual([ours(preview("ours", picture)), ours(preview("theirs", picture))], [true, false])
    assert.isFalse(unnamed())
    assert.isTrue(executing("ours", "1"))
    assert.isTrue(unnamed())
    assert.isFalse(ours({ type: "status" }))
    assert.isTrue(unnamed())
    assert.isTrue(executing("ours", null))
    assert.isFalse(unnamed())
    assert.isTrue(ours({ type: "progress", data: { prompt_id: "ours", node: "1", value: 1, max: 2 } }))
    assert.isTrue(unnamed())
    assert.isFalse(executing("theirs", "1"))
    assert.isFalse(unnamed())
    executing("ours", "2")
    assert.isFalse(ours({ type: "reconnected" }))
    assert.isFalse(unnamed())
  })
})
