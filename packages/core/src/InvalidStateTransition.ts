import { Schema } from "effect"

/** The table of transitions of a worker or a job has no arrow from `from` to `to`. */
export class InvalidStateTransition extends Schema.TaggedError<InvalidStateTransition>(
  "@muster/core/InvalidStateTransition"
)("InvalidStateTransition", {
  subject: Schema.Literals(["worker", "job"]),
  id: Schema.String,
  from: Schema.String,
  to: Schema.String
}) {
  override get message() {
    return `${this.subject} ${this.id} is ${this.from} and cannot become ${this.to}`
  }
}
