/** What can go wrong with reading events, as values a caller can react to. */
import { Schema } from "effect"

/**
 * The log does not go on from this cursor: what came after it was trimmed, or it is of another log. The reader has to
 * begin from state.
 */
export class CursorLost extends Schema.TaggedError<CursorLost>("@muster/core/event/EventErrors/CursorLost")(
  "CursorLost",
  { cursor: Schema.String, why: Schema.Literals(["trimmed", "foreign"]) }
) {
  override get message() {
    return this.why === "trimmed"
      ? "events that followed this cursor are not kept any more: begin from state"
      : "the cursor is of another event log: begin from state"
  }
}
