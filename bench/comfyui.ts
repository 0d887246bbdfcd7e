/**
 * What Muster adds to a prompt on ComfyUI: a recorded one of three nodes and one picture, against a double that plays it.
 * Directly: a socket that stays open, POST /prompt, the end, /history, /view into memory. By the connector: the same with
 * its looks into queue and history, its own socket, and the picture stored, hashed and read back. As a job: submitted to
 * Redis, claimed, run and completed. The three take turns in one process, which plays the double, too.
 */
import * as ComfyUIWebSocketConnector from "@muster/connectors/ComfyUIWebSocketConnector"
import type { RunningConnector } from "@muster/core/connector/Connector"
import * as JobRunner from "@muster/core/connector/runner/JobRunner"
import * as Offering from "@muster/core/connector/runtime/Offering"
import { Effect, Exit, Layer, Option, Schedule, Scope } from "effect"
import { once } from "node:events"
import { WebSocket } from "ws"
import { comfyDouble, graphOf } from "../packages/connectors/test/doubles/ComfyDouble.ts"
import { acquire, jobOf, services } from "../packages/connectors/test/ConnectorSuite.ts"
import { startRedis } from "../tools/servers/Redis.ts"
import { durability, job, jobId, jobType, openQueue, workerId } from "./broker/QueueUnderTest.ts"
import { type Figure, median, quantile, type Report } from "./Report.ts"

export const flags = { prompts: 100, rounds: 3, speed: 20 }
type Flags = typeof flags

const workflow = graphOf("v0.8.0", "01-simple")

/** What a client without Muster does. */
const directly = async (url: string) => {
  const client_id = globalThis.crypto.randomUUID()
  const socket = new WebSocket(`${url.replace("http", "ws")}/ws?clientId=${client_id}`)
  await once(socket, "open")
  const json = async (path: string, init?: RequestInit) => (await fetch(`${url}${path}`, init)).json()
  return {
    close: () => socket.close(),
    run: async () => {
      const prompt_id = globalThis.crypto.randomUUID()
      const end = new Promise<void>((resolve) => {
        const hear = (data: unknown) => {
          const { data: said, type } = JSON.parse(String(data)) as { type: string; data: Record<string, unknown> }
          if (type !== "executing" || said["node"] !== null || said["prompt_id"] !== prompt_id) return
          socket.off("message", hear)
          resolve()
        }
        socket.on("message", hear)
      })
      await json("/prompt", { method: "POST", body: JSON.stringify({ prompt: workflow, client_id, prompt_id }) })
      await end
      const history = (await json(`/history/${prompt_id}`)) as Record<
        string,
        { outputs: Record<string, { images: ReadonlyArray<Record<string, string>> }> }
      >
      for (const { images } of Object.values(history[prompt_id]?.outputs ?? {})) {
        for (const image of images) await (await fetch(`${url}/view?${new URLSearchParams(image)}`)).arrayBuffer()
      }
    }
  }
}

const timed = async (work: () => Promise<unknown>): Promise<number> => {
  const from = performance.now()
  await work()
  return performance.now() - from
}

/** The first ones find everything cold. */
const warm = 20

export const run = async ({ prompts, rounds, speed }: Flags): Promise<Report> => {
  const redis = await startRedis()
  const scope = await Effect.runPromise(Scope.make())
  const here = <A, E>(effect: Effect.Effect<A, E, Scope.Scope>) => Effect.runPromise(Scope.provide(effect, scope))
  const opened = await openQueue(redis.url, "comfyui")
  try {
    const double = await here(comfyDouble({ version: "v0.8.0", speed }))
    const connector: RunningConnector = await here(
      Effect.flatMap(Layer.build(services), (context) =>
        Effect.provideContext(acquire(ComfyUIWebSocketConnector.connector, { COMFYUI_URL: double.url }), context)
      )
    )
    opened.keep(
      JobRunner.run({
        worker_id: workerId("bench"),
        offering: Offering.fixed({ job_types: [jobType] }, new Map([[jobType, connector]])),
        capacity: 1
      })
    )
    const client = await directly(double.url)
    let jobs = 0
    const asJob = () =>
      opened.run(
        Effect.gen(function* () {
          const id = jobId(`comfyui-${jobs++}`)
          yield* opened.queue.submit(id, job({ payload: { workflow } }))
          const isDone = Effect.map(
            opened.queue.get(id),
            Option.exists(({ status }) => status === "completed")
          )
          yield* Effect.repeat(isDone, { until: (done) => done, schedule: Schedule.spaced("1 millis") })
        })
      )
    const ways = {
      directly: client.run,
      "by the connector": () => Effect.runPromise(connector.process(jobOf({ workflow }), () => Effect.void)),
      "as a job": asJob
    }
    const samples = new Map<string, Array<ReadonlyArray<number>>>()
    for (let round = 0; round < rounds; round++) {
      for (const [name, way] of Object.entries(ways)) {
        const taken: Array<number> = []
        for (let nth = 0; nth < warm + prompts; nth++) taken.push(await timed(way))
        samples.set(name, [...(samples.get(name) ?? []), taken.slice(warm)])
      }
    }
    client.close()
    const at = (name: string, share: number) => median((samples.get(name) ?? []).map((all) => quantile(all, share)))
    const direct = at("directly", 0.5)
    const figures = Object.keys(ways).flatMap((name): ReadonlyArray<Figure> => [
      { name: `${name}, p50`, value: at(name, 0.5), unit: "ms" },
      { name: `${name}, p99`, value: at(name, 0.99), unit: "ms" },
      ...(name === "directly"
        ? []
        : [
            { name: `${name}: added to the direct call, p50`, value: at(name, 0.5) - direct, unit: "ms" as const },
            { name: `${name} against directly, p50`, value: at(name, 0.5) / direct, unit: "ratio" as const }
          ])
    ])
    return { bench: "comfyui", setting: { prompts, rounds, redis: durability, "faster than recorded": speed }, figures }
  } finally {
    await opened.close()
    await Effect.runPromise(Scope.close(scope, Exit.void))
    await redis.stop()
  }
}
