/** What can go wrong with workers, as values a caller can react to. */
import { Schema } from "effect"
import { storeFailure } from "../StoreFailure.ts"
import { InstanceId, WorkerId } from "./Worker.ts"

export class WorkerAlreadyExists extends Schema.TaggedError<WorkerAlreadyExists>(
  "@muster/core/worker/WorkerErrors/WorkerAlreadyExists"
)("WorkerAlreadyExists", { id: WorkerId }) {
  override get message() {
    return `worker ${this.id} is already registered`
  }
}

/** Another process runs under this worker id and was heard from within the heartbeat timeout. */
export class LiveTwin extends Schema.TaggedError<LiveTwin>("@muster/core/worker/WorkerErrors/LiveTwin")("LiveTwin", {
  id: WorkerId,
  instance_id: InstanceId,
  last_heartbeat_at: Schema.DateTimeUtc
}) {
  override get message() {
    return `worker ${this.id} is alive as instance ${this.instance_id}; stop it, or give this one another WORKER_ID`
  }
}

export class WorkerNotFound extends Schema.TaggedError<WorkerNotFound>(
  "@muster/core/worker/WorkerErrors/WorkerNotFound"
)("WorkerNotFound", { id: WorkerId }) {
  override get message() {
    return `worker ${this.id} is not registered`
  }
}

export class InvalidConfiguration extends Schema.TaggedError<InvalidConfiguration>(
  "@muster/core/worker/WorkerErrors/InvalidConfiguration"
)("InvalidConfiguration", {
  /** Where the value stands: a JSON path or the name of an environment variable. */
  path: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `${this.path}: ${this.detail}`
  }
}

/** The beat could not be written; nothing is known about it, so it is worth sending again. */
export class HeartbeatFailed extends Schema.TaggedError<HeartbeatFailed>(
  "@muster/core/worker/WorkerErrors/HeartbeatFailed"
)("HeartbeatFailed", { id: WorkerId, ...storeFailure }) {
  override get message() {
    return `the heartbeat of worker ${this.id} could not be written: ${this.detail}`
  }
}

/** The worker registry failed for a technical reason. */
export class RepositoryError extends Schema.TaggedError<RepositoryError>(
  "@muster/core/worker/WorkerErrors/RepositoryError"
)("RepositoryError", storeFailure) {
  override get message() {
    return `${this.operation}: ${this.detail}`
  }
}
