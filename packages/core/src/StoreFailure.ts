/**
 * What every technical failure of a store carries: which port method failed, a text that is safe to show, and
 * whether the store was simply not there, in which case the same request is worth repeating later.
 */
import { Schema } from "effect"

export const storeFailure = {
  /** The port and method that failed, such as `WorkerRepository.insert`. */
  operation: Schema.String,
  /** What happened, in words that name no host, credential or statement. */
  detail: Schema.String,
  /**
   * The store was not there, or did not answer in time. Whether the step was done is then unknown; it may be repeated
   * later.
   */
  unavailable: Schema.Boolean,
  cause: Schema.Defect()
}
