/**
 * A RunPod serverless endpoint as its public API description has it: run, status, cancel, health. Written from that
 * description, not from recorded traffic. The input decides what becomes of a run: `{looks}` questions until it is done,
 * `{output}` what it answers, `{fail}` with what it fails, `{endless}`.
 */
import { Effect } from "effect"
import { hurtableServer, json } from "./HurtableServer.ts"

interface Run {
  readonly id: string
  readonly input: { looks?: number; output?: unknown; fail?: string; endless?: boolean }
  asked: number
  status: "IN_QUEUE" | "IN_PROGRESS" | "COMPLETED" | "FAILED" | "CANCELLED"
}

export const endpoint = "endpoint-1"

export const runPodDouble = (key: string) =>
  Effect.gen(function* () {
    const runs = new Map<string, Run>()
    const created: Array<unknown> = []

    const shown = ({ asked, id, input, status }: Run) => ({
      id,
      status,
      ...(status === "COMPLETED" ? { output: input.output ?? "done", delayTime: 12, executionTime: 34 } : {}),
      ...(status === "IN_PROGRESS" ? { output: { progress: Math.min(100, asked * 10) } } : {}),
      ...(status === "FAILED" ? { error: input.fail } : {})
    })

    const step = (run: Run) => {
      run.asked++
      if (run.status !== "IN_QUEUE" && run.status !== "IN_PROGRESS") return
      run.status = "IN_PROGRESS"
      if (run.input.endless === true || run.asked < (run.input.looks ?? 2)) return
      run.status = run.input.fail === undefined ? "COMPLETED" : "FAILED"
    }

    const server = yield* hurtableServer((request, response, body) => {
      const path = request.url ?? ""
      if (request.headers.authorization !== `Bearer ${key}`) return json(response, 401, {})
      if (path === `/${endpoint}/health`) return json(response, 200, { jobs: {}, workers: { idle: 1 } })
      if (request.method === "POST" && path === `/${endpoint}/run`) {
        const asked = JSON.parse(body) as { input: Run["input"] }
        created.push(asked)
        const run: Run = { id: `r-${runs.size + 1}`, input: asked.input, asked: 0, status: "IN_QUEUE" }
        runs.set(run.id, run)
        return json(response, 200, { id: run.id, status: run.status })
      }
      const [, what, id = ""] = new RegExp(`^/${endpoint}/(status|cancel)/([\\w-]+)$`).exec(path) ?? []
      const run = runs.get(id)
      if (run === undefined) return json(response, 404, {})
      if (what === "status") step(run)
      else run.status = "CANCELLED"
      return json(response, 200, shown(run))
    })
    const running = () =>
      [...runs.values()].filter(({ status }) => status === "IN_QUEUE" || status === "IN_PROGRESS").length
    const looks = () => [...runs.values()].reduce((sum, { asked }) => sum + asked, 0)
    return { ...server, created, looks, running }
  })
