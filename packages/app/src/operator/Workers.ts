/** What the `muster workers` commands do. */
import { WorkerId, type WorkerStatus } from "@muster/core/worker/Worker"
import { workersPerPage } from "@muster/http-server/contract/WorkersApi"
import { DateTime, Effect } from "effect"
import * as Output from "../terminal/Output.ts"
import * as Pages from "./Pages.ts"
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
