/** What can go wrong with jobs, as values a caller can react to. */
import { Schema } from "effect"
import { storeFailure } from "../StoreFailure.ts"
import { JobId } from "./Job.ts"

/** The id is taken by a job with another body. */
export class JobAlreadyExists extends Schema.TaggedError<JobAlreadyExists>(
  "@muster/core/job/JobErrors/JobAlreadyExists"
)("JobAlreadyExists", { id: JobId }) {
  override get message() {
    return `job ${this.id} was already submitted with a different body`
  }
}

/** An id that stands twice in one batch: `index` is where it comes again, from 0. */
export class DuplicateJobId extends Schema.TaggedError<DuplicateJobId>("@muster/core/job/JobErrors/DuplicateJobId")(
  "DuplicateJobId",
  { id: JobId, index: Schema.Int }
) {
  override get message() {
    return `job ${this.id} is in the batch more than once`
  }
}

export class JobNotFound extends Schema.TaggedError<JobNotFound>("@muster/core/job/JobErrors/JobNotFound")(
  "JobNotFound",
  { id: JobId }
) {
  override get message() {
    return `job ${this.id} does not exist`
  }
}

/** No registered worker could ever run the job, and it asked not to wait for one. */
export class NotMatchable extends Schema.TaggedError<NotMatchable>("@muster/core/job/JobErrors/NotMatchable")(
  "NotMatchable",
  {
    service_required: Schema.String,
    /** Some worker accepts the job type; what keeps it from this job is something else that one of them asks. */
    type_accepted: Schema.Boolean
  }
) {
  override get message() {
    return this.type_accepted
      ? `registered workers accept ${this.service_required}, but none of them may run this job: ` +
          "its requirements are not met, or its customer or workflow is not taken"
      : `no registered worker accepts ${this.service_required}`
  }
}

/** The report is not from the attempt that holds the job: it ended, was cancelled, or was given to another claim. */
export class LeaseLost extends Schema.TaggedError<LeaseLost>("@muster/core/job/JobErrors/LeaseLost")("LeaseLost", {
  id: JobId,
  attempt: Schema.Int
}) {
  override get message() {
    return `attempt ${this.attempt} no longer holds job ${this.id}`
  }
}

/** A cursor that no list has handed out. */
export class InvalidCursor extends Schema.TaggedError<InvalidCursor>("@muster/core/job/JobErrors/InvalidCursor")(
  "InvalidCursor",
  { cursor: Schema.String }
) {
  override get message() {
    return "the cursor is not one that a list of jobs has handed out"
  }
}

/** The queue failed for a technical reason. */
export class StorageError extends Schema.TaggedError<StorageError>("@muster/core/job/JobErrors/StorageError")(
  "StorageError",
  storeFailure
) {
  override get message() {
    return `${this.operation}: ${this.detail}`
  }
}
