/** What the `muster workers` commands do. */
import { WorkerId, type WorkerStatus } from "@muster/core/worker/Worker"
import type { MusterClient } from "@muster/http-server/client/MusterClient"
import { workersPerPage } from "@muster/http-server/contract/WorkersApi"
import { DateTime, Effect, Predicate, Schema } from "effect"
import * as Output from "../terminal/Output.ts"
import * as Pages from "./Pages.ts"
import * as Polling from "./Polling.ts"
import * as Server from "./Server.ts"
import * as WorkerView from "./WorkerView.ts"

const responseMode = "decoded-and-response"

/** Heartbeats shown of one worker. */
const recent = 10

/** `muster workers list` */
export const list = Effect.fn("Workers.list")(function* (flags: {
  readonly status: WorkerStatus | undefined
  readonly json: boolean
}) {
  const filter = flags.status === undefined ? {} : { status: flags.status }
  const client = yield* Server.connect
  const { bodies, items, next_cursor } = yield* Pages.collect(
    "workers",
    { wanted: Number.POSITIVE_INFINITY, perPage: workersPerPage.maximum, from: undefined },
    ({ cursor, limit }) =>
      Server.ask(
        client.workers.list({
          query: { ...filter, limit, ...(cursor === undefined ? {} : { cursor: WorkerId.make(cursor) }) },
          responseMode
        })
      )
  )
  if (flags.json) return yield* Output.printJson({ workers: bodies, next_cursor })
  if (items.length === 0) return yield* Output.note("no workers")
  yield* Output.print(WorkerView.table(items, yield* DateTime.now, yield* Output.canvas))
})

/** `muster workers show` */
export const show = Effect.fn("Workers.show")(function* (flags: { readonly id: string; readonly json: boolean }) {
  const id = yield* Server.decodeArgument(WorkerId, "ID", flags.id)
  const client = yield* Server.connect
  const worker = yield* Server.ask(client.workers.get({ params: { id }, responseMode }))
  const beats = yield* Server.ask(client.workers.heartbeats({ params: { id }, query: { limit: recent }, responseMode }))
  if (flags.json) return yield* Output.printJson({ ...Object(worker.body), ...Object(beats.body) })
  yield* Output.print(
    WorkerView.block(worker.value.worker, beats.value.heartbeats, yield* DateTime.now, yield* Output.canvas)
  )
})

interface Meant {
  /** At least one. */
  readonly ids: ReadonlyArray<string>
  readonly json: boolean
}

const decodeIds = (ids: ReadonlyArray<string>) =>
  Effect.forEach(new Set(ids), (id) => Server.decodeArgument(WorkerId, "ID", id))

const workerIn = (body: unknown): unknown => (Predicate.hasProperty(body, "worker") ? body.worker : undefined)

const printWorkers = (bodies: ReadonlyArray<unknown>) => Output.printJson({ workers: bodies.map(workerIn) })

/** Commands one worker after the other; the first that is refused ends it, and those before it stay as they are. */
const command = Effect.fnUntraced(function* (name: "pause" | "resume", { ids, json }: Meant) {
  const known = yield* decodeIds(ids)
  const client = yield* Server.connect
  const bodies = yield* Effect.forEach(known, (id) =>
    Server.ask(client.workers[name]({ params: { id }, responseMode })).pipe(
      Effect.tap(({ value: { worker } }) =>
        json ? Effect.void : Output.print(`worker ${worker.id} is ${worker.standing}`)
      ),
      Effect.map(({ body }) => body)
    )
  )
  if (json) yield* printWorkers(bodies)
})

/** `muster workers pause` */
export const pause = Effect.fn("Workers.pause")((meant: Meant) => command("pause", meant))

/** `muster workers resume` */
export const resume = Effect.fn("Workers.resume")((meant: Meant) => command("resume", meant))

/** Somebody resumed a worker that was waited for. */
export class Resumed extends Schema.TaggedError<Resumed>("@muster/app/operator/Workers/Resumed")("Resumed", {
  id: WorkerId
}) {
  override get message() {
    return `worker ${this.id} was resumed and takes jobs again; nobody knows when it will hold none`
  }
}

/** What a worker holds is only known while the queue is there. */
export class HeldUnknown extends Schema.TaggedError<HeldUnknown>("@muster/app/operator/Workers/HeldUnknown")(
  "HeldUnknown",
  { id: WorkerId }
) {
  override get message() {
    return `the job queue is away, so what worker ${this.id} holds is not known`
  }
}

/** The worker's record as the server wrote it, and how many jobs it holds. */
const held = (client: MusterClient, id: WorkerId) =>
  Effect.gen(function* () {
    const { body, value } = yield* Server.ask(client.workers.get({ params: { id }, responseMode }))
    const { current_jobs, standing } = value.worker
    if (standing === "open") return yield* new Resumed({ id })
    if (current_jobs === null) return yield* new HeldUnknown({ id })
    return { body, jobs: current_jobs.length }
  }).pipe((look) => Polling.throughOutages(look, ["HeldUnknown"]))

/** Polls until none of the workers holds a job; on a terminal a line shows how many are left. */
const awaitFree = Effect.fnUntraced(function* (client: MusterClient, ids: ReadonlyArray<WorkerId>, json: boolean) {
  const look = Effect.map(
    Effect.forEach(ids, (id) => held(client, id), { concurrency: 4 }),
    (workers) => ({
      bodies: workers.map(({ body }) => body),
      left: workers.reduce((left, { jobs }) => left + jobs, 0)
    })
  )
  const show = (left: number) => Output.statusLine(() => `${left} ${left === 1 ? "job" : "jobs"} left`)
  const { bodies } = yield* look.pipe(
    Effect.tap(({ left }) => (json ? Effect.void : show(left))),
    Effect.repeat({ until: ({ left }) => left === 0, schedule: Polling.pauses }),
    Effect.ensuring(json ? Effect.void : Output.statusLine(() => "")),
    Effect.onInterrupt(() => Output.hint("what drains goes on draining; see it with: muster workers list"))
  )
  return bodies
})

/** `muster workers drain` */
export const drain = Effect.fn("Workers.drain")(function* (
  flags: Meant & { readonly returnJobs: boolean; readonly wait: boolean }
) {
  const { json, returnJobs, wait } = flags
  const ids = yield* decodeIds(flags.ids)
  const client = yield* Server.connect
  const payload = { jobs: returnJobs ? "return" : "finish" } as const
  const drained = yield* Effect.forEach(ids, (id) =>
    Effect.tap(Server.ask(client.workers.drain({ params: { id }, payload, responseMode })), () =>
      json || wait ? Effect.void : Output.print(`worker ${id} is draining`)
    )
  )
  const bodies = wait ? yield* awaitFree(client, ids, json) : drained.map(({ body }) => body)
  if (json) return yield* printWorkers(bodies)
  if (wait) yield* Effect.forEach(ids, (id) => Output.print(`worker ${id} is draining and holds no job`))
})
