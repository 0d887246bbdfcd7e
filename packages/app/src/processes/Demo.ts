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
import { Console, Duration, Effect, Layer, Logger, Option, Schedule, Schema } from "effect"
import { paint } from "../terminal/Style.ts"

const settings = {
  activationInterval: Duration.millis(400),
  staleInterval: Duration.millis(300),
  reactivationInterval: Duration.millis(300),
  heartbeatTimeout: Duration.millis(900),
  heartbeatHistory: Duration.hours(1)
}

const id = WorkerId.make("demo-worker-1")

/** A step of the demo that did not come about. */
class DemoFailed extends Schema.TaggedError<DemoFailed>("@muster/app/processes/Demo/DemoFailed")("DemoFailed", {
  message: Schema.String
}) {}

const colours: Record<WorkerStatus, "yellow" | "green" | "red"> = { pending: "yellow", active: "green", offline: "red" }

const status = Effect.map(WorkerQueries.getWorker(id), (worker) => worker.status)

const said = { steps: 0 }

const step = (text: string) => Console.log(`\n${paint("bold", `${++said.steps}. ${text}`)}`)

const show = Effect.gen(function* () {
  const worker = yield* WorkerQueries.getWorker(id)
  const beat = Option.match(yield* WorkerQueries.getLastHeartbeat(id), {
    onNone: () => "never beat",
    onSome: (at) => `last beat ${at.toJSON().slice(11, 23)}`
  })
  yield* Console.log(`   ${id}  ${paint(colours[worker.status], worker.status)}  ${paint("dim", beat)}`)
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

const story = Effect.gen(function* () {
  yield* Console.log(
    `Periods here: activation every ${Duration.format(settings.activationInterval)}, stale and reactivation checks every ` +
      `${Duration.format(settings.staleInterval)}, timeout ${Duration.format(settings.heartbeatTimeout)}. By default 10 s, 30 s and 60 s.`
  )

  yield* step("A worker registers. It is pending: nobody has heard it yet.")
  yield* WorkerUseCases.registerWorker({
    id,
    region: "eu-central",
    capacity: 2,
    capabilities: { job_types: ["simulation"] }
  })
  yield* show

  yield* step("Checks pass, and nothing changes without a heartbeat.")
  yield* Effect.sleep(Duration.times(settings.activationInterval, 1.5))
  yield* show

  yield* step("A heartbeat is recorded. It changes no state by itself.")
  yield* WorkerUseCases.recordHeartbeat(id)
  yield* show

  yield* step("The next activation check makes the worker active.")
  yield* until("active")

  yield* step("The heartbeats stop. After the timeout the worker is offline.")
  yield* until("offline")

  yield* step("A heartbeat arrives again. Still offline: a beat only records.")
  yield* WorkerUseCases.recordHeartbeat(id)
  yield* show

  yield* step("The reactivation check brings the worker back.")
  yield* until("active")

  yield* step("A transition that the table does not have is refused.")
  const refused = yield* Effect.flip(WorkerUseCases.updateWorkerStatus(id, "pending"))
  yield* Console.log(`   ${paint("red", refused._tag)}: ${refused.message}`)

  yield* step("The worker is unregistered.")
  const beats = yield* WorkerQueries.getHeartbeatHistory(id, 100)
  yield* WorkerUseCases.unregisterWorker(id)
  const gone = yield* Effect.flip(WorkerQueries.getWorker(id))
  yield* Console.log(`   ${gone.message} any more; it had beaten ${beats.length} times`)

  yield* Console.log(`\n${paint("green", "Done.")} \`npm start\` runs a broker with workers that take jobs.`)
})

/** Runs the demo to its end. */
export const run = Effect.andThen(WorkerScheduler.startScheduledJobs, story).pipe(
  Effect.scoped,
  Effect.provide(
    Layer.mergeAll(WorkerLayers.inMemory, Logger.layer([])).pipe(
      Layer.provideMerge(Layer.succeed(RegistrySettings, settings)),
      Layer.provideMerge(Layer.succeed(QueueSettings, QueueSettings.defaultValue()))
    )
  )
)
