/**
 * The command line demo of document 004: one worker's life with real schedulers on real time, with periods short
 * enough to watch. Nothing is faked; each line is read back from the registry.
 */
import { QueueSettings } from "@muster/core/job/QueueSettings"
import { RegistrySettings } from "@muster/core/worker/RegistrySettings"
import { WorkerId, type WorkerStatus } from "@muster/core/worker/Worker"
import * as WorkerQueries from "@muster/core/worker/WorkerQueries"
import * as WorkerScheduler from "@muster/core/worker/WorkerScheduler"
import * as WorkerUseCases from "@muster/core/worker/WorkerUseCases"
import * as WorkerLayers from "@muster/impl/WorkerLayers"
import { DateTime, Duration, Effect, Layer, Logger, Option, Schedule, Schema } from "effect"
import * as Output from "../terminal/Output.ts"
import type { Colour } from "../terminal/Style.ts"

const settings = {
  activationInterval: Duration.millis(400),
  staleInterval: Duration.millis(300),
  reactivationInterval: Duration.millis(300),
  heartbeatTimeout: Duration.millis(900),
  heartbeatHistory: Duration.hours(1)
}

const id = WorkerId.make("demo-worker-1")

/** A step of the demo that did not come about. */
export class DemoFailed extends Schema.TaggedError<DemoFailed>("@muster/app/processes/Demo/DemoFailed")("DemoFailed", {
  message: Schema.String
}) {}

const colours: Record<WorkerStatus, Colour> = { pending: "yellow", active: "green", offline: "red" }

const status = Effect.map(WorkerQueries.getWorker(id), (worker) => worker.status)

const step = (number: number, text: string) =>
  Effect.flatMap(Output.canvas, ({ style }) => Output.print(`\n${style(`${number}. ${text}`, "bold")}`))

const show = Effect.gen(function* () {
  const worker = yield* WorkerQueries.getWorker(id)
  const beat = Option.match(yield* WorkerQueries.getLastHeartbeat(id), {
    onNone: () => "never beat",
    onSome: (at) => `last beat ${DateTime.formatIso(at).slice(11, 23)}`
  })
  const { style } = yield* Output.canvas
  yield* Output.print(`   ${id}  ${style(worker.status, colours[worker.status])}  ${style(beat, "dim")}`)
})

const until = (wanted: WorkerStatus) =>
  status.pipe(
    Effect.repeat({ until: (now) => now === wanted, schedule: Schedule.spaced("20 millis") }),
    Effect.timeoutOrElse({
      duration: "5 seconds",
      orElse: () => Effect.fail(new DemoFailed({ message: `the worker did not become ${wanted} within 5 s` }))
    }),
    Effect.andThen(show)
  )

/** The error of something that must not succeed. */
const refusal = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.mapError(Effect.flip(self), () => new DemoFailed({ message: "something succeeded that must be refused" }))

const story = Effect.gen(function* () {
  const { style } = yield* Output.canvas
  yield* Output.print(
    `Periods here: activation every ${Duration.format(settings.activationInterval)}, stale and reactivation checks every ` +
      `${Duration.format(settings.staleInterval)}, timeout ${Duration.format(settings.heartbeatTimeout)}. By default 10 s, 30 s and 60 s.`
  )

  yield* step(1, "A worker registers. It is pending: nobody has heard it yet.")
  yield* WorkerUseCases.registerWorker({
    id,
    region: "eu-central",
    capacity: 2,
    capabilities: { job_types: ["simulation"] }
  })
  yield* show

  yield* step(2, "Checks pass, and nothing changes without a heartbeat.")
  yield* Effect.sleep(Duration.times(settings.activationInterval, 1.5))
  yield* show

  yield* step(3, "A heartbeat is recorded. It changes no state by itself.")
  yield* WorkerUseCases.recordHeartbeat(id)
  yield* show

  yield* step(4, "The next activation check makes the worker active.")
  yield* until("active")

  yield* step(5, "The heartbeats stop. After the timeout the worker is offline.")
  yield* until("offline")

  yield* step(6, "A heartbeat arrives again. Still offline: a beat only records.")
  yield* WorkerUseCases.recordHeartbeat(id)
  yield* show

  yield* step(7, "The reactivation check brings the worker back.")
  yield* until("active")

  yield* step(8, "A transition that the table does not have is refused.")
  const refused = yield* refusal(WorkerUseCases.updateWorkerStatus(id, "pending"))
  yield* Output.print(`   ${style(refused._tag, "red")}: ${refused.message}`)

  yield* step(9, "The worker is unregistered.")
  const beats = yield* WorkerQueries.getHeartbeatHistory(id, 100)
  yield* WorkerUseCases.unregisterWorker(id)
  const gone = yield* refusal(WorkerQueries.getWorker(id))
  yield* Output.print(`   ${gone.message} any more; it had beaten ${beats.length} times`)

  yield* Output.print(`\n${style("Done.", "green")} \`npm start\` runs a broker with workers that take jobs.`)
})

/** Runs the demo to its end. */
export const run: Effect.Effect<void, DemoFailed | Output.OutputClosed> = Effect.andThen(
  WorkerScheduler.startScheduledJobs,
  story
).pipe(
  Effect.mapError((error) =>
    error._tag === "OutputClosed" || error._tag === "DemoFailed" ? error : new DemoFailed({ message: error.message })
  ),
  Effect.scoped,
  Effect.provide(
    Layer.mergeAll(WorkerLayers.inMemory, Logger.layer([])).pipe(
      Layer.provideMerge(Layer.succeed(RegistrySettings, settings)),
      Layer.provideMerge(Layer.succeed(QueueSettings, QueueSettings.defaultValue()))
    )
  )
)
