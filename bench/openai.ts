/**
 * What Muster's connector adds to a chat call: the same streamed chats of the same double, by the connector and by OpenAI's
 * own client, in turns.
 */
import { NodeServices } from "@effect/platform-node"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as FolderAssetStore from "@muster/connectors/assets/FolderAssetStore"
import * as GuardedRemoteFiles from "@muster/connectors/network/GuardedRemoteFiles"
import { connector } from "@muster/connectors/OpenAITextConnector"
import * as MemoryQuotaBudget from "@muster/core/connector/internal/MemoryQuotaBudget"
import { JobId } from "@muster/core/job/Job"
import { expandAll } from "@muster/core/mapping/Template"
import { Effect, Layer, Result } from "effect"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import OpenAI from "openai"
import { startAimock } from "../tools/servers/Aimock.ts"
import { type Figure, median, quantile, type Report } from "./Report.ts"

export const flags = { calls: 600, rounds: 6, tokens: 100 }
type Flags = typeof flags

const warm = 50
const model = "gpt-4.1"
const messages = [{ role: "user" as const, content: "hello" }]

type Call = () => Promise<void>

/** How long each of so many calls took, one after the other, in ms. */
const timed = async (call: Call, calls: number): Promise<ReadonlyArray<number>> => {
  const times: Array<number> = []
  for (let n = 0; n < calls; n++) {
    const start = performance.now()
    await call()
    times.push(performance.now() - start)
  }
  return times
}

const directly = (baseURL: string, length: number): Call => {
  const client = new OpenAI({ apiKey: "sk-bench", baseURL, maxRetries: 0 })
  return async () => {
    let text = ""
    const body = { model, messages, stream: true, stream_options: { include_usage: true } } as const
    for await (const chunk of await client.chat.completions.create(body)) {
      text += chunk.choices[0]?.delta.content ?? ""
    }
    if (text.length !== length) throw new Error(`${text.length} characters came`)
  }
}

const services = (folder: string) =>
  Layer.mergeAll(
    FolderAssetStore.layer(folder),
    MemoryQuotaBudget.layer,
    GuardedRemoteFiles.layer({ alsoAllowed: false }),
    NodeHttpClient.layerUndici
  ).pipe(Layer.provide(NodeServices.layer))

const measure = (baseUrl: string, { calls, rounds, tokens }: Flags) =>
  Effect.gen(function* () {
    const environment = { OPENAI_API_KEY: "sk-bench", OPENAI_BASE_URL: baseUrl }
    const running = yield* connector.acquire(Result.getOrThrow(expandAll(connector.variables, environment)))
    const run = Effect.runPromiseWith(yield* Effect.context())
    const length = tokens * 5
    let jobs = 0
    const byConnector: Call = async () => {
      const job = { id: JobId.make(`bench-${++jobs}`), attempt: 1, service_required: "openai_text" }
      const none = { workflow_id: null, customer_id: null, metadata: null }
      const result = (await run(running.process({ ...job, ...none, payload: { messages } }, () => Effect.void))) as {
        readonly text: string
      }
      if (result.text.length !== length) throw new Error(`${result.text.length} characters came`)
    }
    const sides = { client: directly(baseUrl, length), connector: byConnector }
    const times = { client: new Array<ReadonlyArray<number>>(), connector: new Array<ReadonlyArray<number>>() }
    for (const call of Object.values(sides)) yield* Effect.promise(() => timed(call, warm))
    for (let round = 0; round < rounds; round++) {
      for (const side of ["client", "connector"] as const) {
        times[side].push(yield* Effect.promise(() => timed(sides[side], Math.ceil(calls / rounds))))
      }
    }
    return times
  })

export const run = async (sizes: Flags): Promise<Report> => {
  const double = await startAimock([
    { match: { userMessage: "hello" }, response: { content: "word ".repeat(sizes.tokens) }, chunkSize: 5 }
  ])
  const folder = await mkdtemp(join(tmpdir(), "muster-bench-"))
  try {
    const times = await Effect.runPromise(
      measure(`${double.url}/v1`, sizes).pipe(Effect.scoped, Effect.provide(services(folder)))
    )
    const medians = (side: keyof typeof times) => times[side].map(median)
    const added = medians("connector").map((value, round) => value - medians("client")[round]!)
    const figures = (["client", "connector"] as const).flatMap((side): ReadonlyArray<Figure> => [
      { name: `${side}: a chat, p50`, value: quantile(times[side].flat(), 0.5), unit: "ms" },
      { name: `${side}: a chat, p99`, value: quantile(times[side].flat(), 0.99), unit: "ms" }
    ])
    return {
      bench: "openai",
      setting: { ...sizes, double: "aimock, no latency", figures: "medians of the rounds, the sides in turns" },
      figures: [
        { name: "added by the connector to a chat", value: median(added), unit: "ms", aim: { atMost: 5 } },
        ...figures
      ]
    }
  } finally {
    await double.stop()
    await rm(folder, { recursive: true, force: true })
  }
}
