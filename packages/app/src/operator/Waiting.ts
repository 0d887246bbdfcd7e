/** What `muster job explain` and `muster queue` do. */
import { JobId } from "@muster/core/job/Job"
import { workersAnswered } from "@muster/core/job/JobExplanation"
import { classesAnswered } from "@muster/core/job/QueueView"
import { DateTime, Effect } from "effect"
import * as Configuration from "../Configuration.ts"
import * as Output from "../terminal/Output.ts"
import * as ExplanationView from "./ExplanationView.ts"
import * as QueueTable from "./QueueTable.ts"
import * as Server from "./Server.ts"

const responseMode = "decoded-and-response"

/** Workers shown of those that are nearest. */
const nearest = 5

/** `muster job explain` */
export const explain = Effect.fn("Waiting.explain")(function* (flags: {
  readonly id: string
  readonly all: boolean
  readonly json: boolean
}) {
  const id = yield* Server.decodeArgument(JobId, "ID", flags.id)
  const client = yield* Server.connect
  const limit = flags.all ? workersAnswered.maximum : flags.json ? workersAnswered.fallback : nearest
  const { body, value } = yield* Server.ask(client.queue.explain({ params: { id }, query: { limit }, responseMode }))
  if (flags.json) return yield* Output.printJson(body)
  yield* Output.print(ExplanationView.text(value, yield* DateTime.now, yield* Output.canvas))
  if (value.workers_left_out > 0) {
    const more = `${value.workers_left_out} more ${value.workers_left_out === 1 ? "worker is" : "workers are"} known`
    yield* Output.note(flags.all ? more : `${more}; --all shows them`)
  }
})

/** `muster queue` */
export const queue = Effect.fn("Waiting.queue")(function* (flags: {
  readonly limit: number | undefined
  readonly json: boolean
}) {
  const { limit = classesAnswered.fallback } = flags
  if (limit > classesAnswered.maximum) {
    return yield* new Configuration.WrongUse({ problems: [`--limit: at most ${classesAnswered.maximum}`] })
  }
  const client = yield* Server.connect
  const { body, value } = yield* Server.ask(client.queue.view({ query: { limit }, responseMode }))
  if (flags.json) return yield* Output.printJson(body)
  yield* Output.print(QueueTable.text(value, yield* DateTime.now, yield* Output.canvas))
  if (value.classes_left_out > 0) {
    const atLeast = value.left_out_at_least ? "at least " : ""
    const kinds = value.classes_left_out === 1 ? "kind of jobs waits" : "kinds of jobs wait"
    yield* Output.note(`${atLeast}${value.classes_left_out} more ${kinds}; --limit shows more`)
  }
})
