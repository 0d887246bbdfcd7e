/** A server and workers as processes on the shared stores, and jobs as a client sees them, for services that are doubled. */
import { assert } from "@effect/vitest"
import { Effect, Schedule, Schema } from "effect"
import { createHash } from "node:crypto"
import { inject } from "vitest"
import { freshFolder } from "../../../../tools/servers/ServerProcess.ts"
import { freshDatabaseUrl, freshQueue } from "../../../../tools/servers/testServers.ts"
import { startBroker, startWorker } from "./processes.ts"

const Asset = Schema.Struct({
  type: Schema.String,
  file_name: Schema.String,
  content_type: Schema.String,
  size: Schema.Int,
  sha256: Schema.String
})

/** What the results of all connectors to services may have. */
const Result = Schema.Struct({
  assets: Schema.Array(Asset),
  usage: Schema.optionalKey(Schema.NullOr(Schema.Struct({ total_tokens: Schema.Int }))),
  text: Schema.optionalKey(Schema.String),
  approach: Schema.optionalKey(Schema.String),
  prompt_id: Schema.optionalKey(Schema.String),
  adopted: Schema.optionalKey(Schema.Boolean)
})

const Job = Schema.Struct({
  id: Schema.String,
  status: Schema.String,
  attempt: Schema.Int,
  worker_id: Schema.NullOr(Schema.String),
  progress: Schema.NullOr(Schema.Struct({ percent: Schema.Number, message: Schema.optionalKey(Schema.String) })),
  result: Schema.NullOr(Result),
  error: Schema.NullOr(Schema.Struct({ kind: Schema.String, message: Schema.String }))
})
export type Job = typeof Job.Type

const decodeJob = Schema.decodeUnknownEffect(Schema.Struct({ job: Job }))

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")

/** Looks again until it holds; what happens here takes real time. */
export const eventually = <A, E, R>(what: string, look: Effect.Effect<A, E, R>, holds: (a: A) => boolean) =>
  look.pipe(
    Effect.repeat({ until: holds, schedule: Schedule.spaced("50 millis") }),
    Effect.timeoutOrElse({
      duration: "60 seconds",
      orElse: () =>
        Effect.flatMap(look, (last) => Effect.die(new Error(`${what}: not within 60 s: ${JSON.stringify(last)}`)))
    })
  )

/** `muster COMMAND` on stores that nobody else uses, with the mapping that comes along. */
export const serving = Effect.fnUntraced(function* (command: "up" | "server", over: Record<string, string> = {}) {
  const [DATABASE_URL, MUSTER_QUEUE, MUSTER_WORKSPACE] = yield* Effect.all(
    [freshDatabaseUrl, freshQueue, Effect.promise(() => freshFolder("workspace"))],
    { concurrency: 3 }
  )
  const env = {
    DATABASE_URL,
    REDIS_URL: inject("redisUrl"),
    MUSTER_QUEUE,
    MUSTER_WORKSPACE,
    MUSTER_LEASE: "6s",
    MUSTER_HEARTBEAT_INTERVAL: "500ms",
    ...over
  }
  const { url } = yield* startBroker(command, env)

  const request = (path: string, init?: RequestInit) => Effect.promise(() => fetch(url + path, init))
  const get = (path: string) =>
    Effect.flatMap(request(path), (answer) => Effect.promise(() => answer.json() as Promise<any>))
  const job = (id: string) => Effect.map(Effect.flatMap(get(`/jobs/${id}`), decodeJob), ({ job }) => job)

  const becomes = (id: string, status: string) =>
    eventually(`${id} is ${status}`, job(id), (now) => {
      const ended = ["completed", "failed", "cancelled", "expired"].includes(now.status)
      if (ended && now.status !== status) assert.fail(`${id} is ${now.status}: ${JSON.stringify(now.error)}`)
      return now.status === status
    })

  return {
    url,
    env,
    get,
    job,
    becomes,
    /** The worker that `CONNECTORS` and the settings of its service make. */
    worker: (id: string, settings: Record<string, string>) =>
      startWorker({ ...env, MUSTER_URL: url, WORKER_ID: id, ...settings }),

    submit: Effect.fnUntraced(function* (service_required: string, payload: unknown, id?: string) {
      const answer = yield* request("/jobs", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ service_required, payload, ...(id === undefined ? {} : { id }) })
      })
      const body = yield* Effect.promise(() => answer.json())
      assert.strictEqual(answer.status, 201, JSON.stringify(body))
      return (yield* decodeJob(body)).job.id
    }),

    /** Keeps an input; gives its file name. */
    keep: Effect.fnUntraced(function* (bytes: Uint8Array<ArrayBuffer>) {
      const answer = yield* request("/assets?type=image", { method: "POST", body: bytes })
      assert.strictEqual(answer.status, 201)
      const { asset } = yield* Effect.promise(() => answer.json() as Promise<{ asset: { file_name: string } }>)
      return asset.file_name
    }),

    /** The assets of a job over HTTP, each with the hash that its result says. */
    assetsOf: ({ id, result }: Job) =>
      Effect.forEach(
        result?.assets ?? [],
        Effect.fnUntraced(function* ({ content_type, file_name, sha256: said, size }) {
          const answer = yield* request(`/jobs/${id}/assets/${file_name}`)
          assert.strictEqual(answer.status, 200, file_name)
          assert.strictEqual(answer.headers.get("content-type"), content_type)
          const bytes = new Uint8Array(yield* Effect.promise(() => answer.arrayBuffer()))
          assert.deepStrictEqual([bytes.length, sha256(bytes)], [size, said])
          return bytes
        })
      ),

    attempts: (id: string) =>
      Effect.map(get(`/jobs/${id}/attempts`), (told) =>
        (told.attempts as ReadonlyArray<{ outcome: string }>).map(({ outcome }) => outcome)
      )
  }
})
