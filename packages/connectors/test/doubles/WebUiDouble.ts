/**
 * A Stable Diffusion web UI (A1111) as its public API description has it: one piece of work at a time, the others wait
 * in line, `interrupt` stops whatever runs. Written from that description, not from recorded traffic. The prompt decides
 * what becomes of a request: `endless`, `oom`, or images after its steps.
 */
import { Effect } from "effect"
import type { ServerResponse } from "node:http"
import { png } from "../assets/AssetStoreSuite.ts"
import { hurtableServer, json } from "./HurtableServer.ts"

interface Request {
  readonly prompt?: string
  readonly steps?: number
  readonly batch_size?: number
  readonly force_task_id?: string
}

interface Work {
  readonly id: string
  readonly mode: string
  readonly request: Request
  readonly response: ServerResponse | undefined
  step: number
}

const stepEvery = 10

const others = (id: string, steps: number): Work => ({
  id,
  mode: "txt2img",
  request: { steps },
  response: undefined,
  step: 0
})

/** `tellsTasks`: whether it is a build that knows tasks by their ids. */
export const webUiDouble = (options: { readonly tellsTasks: boolean; readonly auth?: string }) =>
  Effect.gen(function* () {
    const line: Array<Work> = []
    const completed: Array<string> = []
    const asked: Array<{ readonly mode: string; readonly request: Request }> = []
    const interrupted: Array<string> = []
    let begun = 0
    let isInterrupted = false
    let overtaking: Work | undefined

    const total = (work: Work) => work.request.steps ?? 5

    const end = (work: Work) => {
      line.shift()
      completed.push(work.id)
      // Somebody at the browser waits for no answer of ours.
      if (work.response === undefined) return
      if (work.request.prompt === "oom") {
        json(work.response, 500, { error: "OutOfMemoryError", detail: "", errors: "CUDA out of memory" })
        return
      }
      const images = Array.from({ length: work.request.batch_size ?? 1 }, () => png.toString("base64"))
      const info = JSON.stringify({ seed: 7, all_seeds: [7], sd_model_name: "v1-5-pruned" })
      json(work.response, 200, { images, parameters: {}, info })
    }

    const ticking = setInterval(() => {
      const [work] = line
      if (work === undefined) return
      if (work.step === 0) {
        begun++
        isInterrupted = false
      }
      work.step++
      const isEndless = work.request.prompt === "endless"
      if (isInterrupted || (!isEndless && work.step > total(work))) end(work)
    }, stepEvery)
    yield* Effect.addFinalizer(() => Effect.sync(() => clearInterval(ticking)))

    const active = () => (line[0] !== undefined && line[0].step > 0 ? line[0] : undefined)

    const state = () => {
      const work = active()
      return {
        progress: work === undefined ? 0 : Math.min(1, 0.01 + work.step / total(work)),
        eta_relative: 0,
        state: {
          skipped: false,
          interrupted: isInterrupted,
          job: work === undefined ? "" : `scripts_${work.mode}`,
          job_count: work === undefined ? 0 : 1,
          job_timestamp: `${20_261_122_000_000 + begun}`,
          job_no: 0,
          sampling_step: work?.step ?? 0,
          sampling_steps: work === undefined ? 0 : total(work)
        },
        current_image: null,
        textinfo: null
      }
    }

    const server = yield* hurtableServer((request, response, body) => {
      const path = (request.url ?? "").replace(/\?.*/, "")
      if (options.auth !== undefined) {
        const expected = `Basic ${Buffer.from(options.auth).toString("base64")}`
        if (request.headers.authorization !== expected) return json(response, 401, { detail: "Not authenticated" })
      }
      switch (path) {
        case "/sdapi/v1/txt2img":
        case "/sdapi/v1/img2img": {
          const mode = path.slice("/sdapi/v1/".length)
          const wanted = JSON.parse(body) as Request
          if (wanted.prompt === "wrong") {
            return json(response, 422, { detail: [{ loc: ["body", "sampler_name"], msg: "no sampler", type: "x" }] })
          }
          asked.push({ mode, request: wanted })
          if (overtaking !== undefined) line.push(overtaking)
          overtaking = undefined
          line.push({ id: wanted.force_task_id ?? "", mode, request: wanted, response, step: 0 })
          return
        }
        case "/sdapi/v1/progress":
          return json(response, 200, state())
        case "/sdapi/v1/interrupt":
          interrupted.push(active()?.id ?? "nothing")
          isInterrupted = true
          return json(response, 200, {})
        case "/sdapi/v1/sd-models":
          return json(response, 200, [
            {
              title: "v1-5-pruned.safetensors [6ce0161689]",
              model_name: "v1-5-pruned",
              filename: "/models/v1-5.safetensors"
            }
          ])
        case "/sdapi/v1/samplers":
          return json(response, 200, [{ name: "Euler a", aliases: ["k_euler_a"], options: {} }])
        case "/sdapi/v1/memory":
          return json(response, 200, { ram: {}, cuda: { system: { free: 1, used: 1, total: 25_429_999_616 } } })
        case "/internal/progress": {
          if (!options.tellsTasks) break
          const { id_task } = JSON.parse(body) as { id_task: string }
          return json(response, 200, {
            active: active()?.id === id_task,
            queued: line.some(({ id, step }) => id === id_task && step === 0),
            completed: completed.includes(id_task)
          })
        }
      }
      return json(response, 404, { detail: "Not Found" })
    })

    return {
      ...server,
      asked,
      interrupted,
      running: () => line.length,
      /** Somebody else uses it for so many steps. */
      busy: (id: string, steps: number) => void line.push(others(id, steps)),
      /** Somebody else comes a moment before the next request, and stays until `leave`. */
      overtake: (id: string) => void (overtaking = others(id, Infinity)),
      leave: () => {
        if (line[0] !== undefined) end(line[0])
      }
    }
  })
