/**
 * What a worker needs of the registry. A worker process reaches it over HTTP and never opens the registry's store; a
 * worker inside the server calls the use cases directly.
 */
import { Context, Effect, Layer, Schema } from "effect"
import type { JobQueue } from "../job/internal/JobQueue.ts"
import type { HeartbeatStore } from "./internal/HeartbeatStore.ts"
import type { WorkerRepository } from "./internal/WorkerRepository.ts"
import type { Worker, WorkerId, WorkerRegistration, WorkerUpdate } from "./Worker.ts"
import type { InvalidConfiguration, LiveTwin, WorkerAlreadyExists, WorkerNotFound } from "./WorkerErrors.ts"
import * as WorkerUseCases from "./WorkerUseCases.ts"

/** The registry could not be asked, or could not answer. */
export class RegistryUnreachable extends Schema.TaggedError<RegistryUnreachable>(
  "@muster/core/worker/RegistryAccess/RegistryUnreachable"
)("RegistryUnreachable", { message: Schema.String, cause: Schema.Defect() }) {}

/** The registry answered, and asking again the same way gets the same answer. */
export class RegistryRefused extends Schema.TaggedError<RegistryRefused>(
  "@muster/core/worker/RegistryAccess/RegistryRefused"
)("RegistryRefused", { message: Schema.String }) {}

type Refusal = InvalidConfiguration | RegistryUnreachable | RegistryRefused

/** What the use cases of a worker stand on. */
type Stores = WorkerRepository | HeartbeatStore | JobQueue

export class RegistryAccess extends Context.Service<
  RegistryAccess,
  {
    readonly register: (registration: WorkerRegistration) => Effect.Effect<Worker, WorkerAlreadyExists | Refusal>
    readonly update: (id: WorkerId, update: WorkerUpdate) => Effect.Effect<Worker, WorkerNotFound | LiveTwin | Refusal>
    readonly beat: (id: WorkerId) => Effect.Effect<void, WorkerNotFound | Refusal>
    /** Says that the worker stops now, so that nobody waits for its silence. */
    readonly leave: (id: WorkerId) => Effect.Effect<void, WorkerNotFound | Refusal>
  }
>()("@muster/core/worker/RegistryAccess") {
  /** Straight to the use cases, for a worker that lives inside the server. */
  static readonly layerLocal: Layer.Layer<RegistryAccess, never, Stores> = Layer.effect(
    RegistryAccess,
    Effect.gen(function* () {
      const ports = Effect.provideContext(yield* Effect.context<Stores>())
      const unreachable = (cause: Error) => Effect.fail(new RegistryUnreachable({ message: cause.message, cause }))
      const refused = (cause: Error) => Effect.fail(new RegistryRefused({ message: cause.message }))
      return RegistryAccess.of({
        register: (registration) =>
          WorkerUseCases.registerWorker(registration).pipe(Effect.catchTag("RepositoryError", unreachable), ports),
        update: (id, update) =>
          WorkerUseCases.updateWorker(id, update).pipe(Effect.catchTag("RepositoryError", unreachable), ports),
        beat: (id) => WorkerUseCases.recordHeartbeat(id).pipe(Effect.catchTag("HeartbeatFailed", unreachable), ports),
        leave: (id) =>
          WorkerUseCases.updateWorkerStatus(id, "offline").pipe(
            Effect.catchTag("RepositoryError", unreachable),
            Effect.catchTag("InvalidStateTransition", refused),
            Effect.asVoid,
            ports
          )
      })
    })
  )
}
