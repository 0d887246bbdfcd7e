/**
 * Replicate as its public API description has it: predictions that are created, read and cancelled. Written from that
 * description, not from recorded traffic. Files are uploaded beside them. The input decides what becomes of a prediction: `{looks}` questions until it
 * is done, `{output}` what it answers, `{fail}` with what it fails, `{endless}`.
 */
import { Effect } from "effect"
import { hurtableServer, json } from "./HurtableServer.ts"

interface Prediction {
  readonly id: string
  readonly input: { looks?: number; output?: unknown; fail?: string; endless?: boolean }
  asked: number
  status: "starting" | "processing" | "succeeded" | "failed" | "canceled"
}

export const replicateDouble = (token: string) =>
  Effect.gen(function* () {
    const predictions = new Map<string, Prediction>()
    const created: Array<{ readonly path: string; readonly body: unknown }> = []
    const uploaded: Array<Buffer> = []

    const shown = ({ asked, id, input, status }: Prediction) => ({
      id,
      status,
      input,
      output: status === "succeeded" ? (input.output ?? "done") : null,
      error: status === "failed" ? input.fail : null,
      logs: `${Math.min(100, asked * 20)}%|###       | ${asked}/5`,
      metrics: status === "succeeded" ? { predict_time: 0.1 } : {},
      urls: {}
    })

    const step = (prediction: Prediction) => {
      prediction.asked++
      if (prediction.status !== "starting" && prediction.status !== "processing") return
      prediction.status = "processing"
      if (prediction.input.endless === true || prediction.asked < (prediction.input.looks ?? 1)) return
      prediction.status = prediction.input.fail === undefined ? "succeeded" : "failed"
    }

    const server = yield* hurtableServer((request, response, body, raw) => {
      const path = request.url ?? ""
      if (request.headers.authorization !== `Bearer ${token}`) return json(response, 401, { title: "Unauthenticated" })
      if (path === "/account") return json(response, 200, { type: "user", username: "somebody" })
      if (request.method === "POST" && /^\/(models\/[\w.-]+\/[\w.-]+\/)?predictions$/.test(path)) {
        const asked = JSON.parse(body) as { input: Prediction["input"] }
        created.push({ path, body: asked })
        const prediction: Prediction = {
          id: `p${predictions.size + 1}`,
          input: asked.input,
          asked: 0,
          status: "starting"
        }
        predictions.set(prediction.id, prediction)
        return json(response, 201, shown(prediction))
      }
      if (request.method === "POST" && path === "/files") {
        uploaded.push(raw)
        return json(response, 201, { id: "f1", urls: { get: `https://files.example.org/f${uploaded.length}` } })
      }
      const [, id = "", cancel] = /^\/predictions\/(\w+)(\/cancel)?$/.exec(path) ?? []
      const prediction = predictions.get(id)
      if (prediction === undefined) return json(response, 404, { detail: "no such prediction" })
      if (cancel === undefined) step(prediction)
      else prediction.status = "canceled"
      return json(response, 200, shown(prediction))
    })
    const running = () =>
      [...predictions.values()].filter(({ status }) => status === "starting" || status === "processing").length
    const looks = () => [...predictions.values()].reduce((sum, { asked }) => sum + asked, 0)
    return { ...server, created, uploaded, looks, running }
  })
