/**
 * What `muster job submit --batch` sends: the submissions of one file, a JSON array or one a line, checked by the
 * contract before they leave.
 */
import { type JobSubmission, jobsPerBatch } from "@muster/http-server/contract/JobsApi"
import { Effect } from "effect"
import * as Configuration from "../Configuration.ts"
import { describeIssues } from "./Server.ts"
import * as Submission from "./Submission.ts"

/** Problems that are listed; a file may have one in every line. */
const listed = 20

interface Entry {
  /** Where it stands, as a person finds it: `line 3`, or `[3]` in an array. */
  readonly place: string
  readonly value: unknown
}

const wrong = (flag: string, problems: ReadonlyArray<string>) => {
  const shown = problems.slice(0, listed).map((problem) => `${flag}: ${problem}`)
  const more = problems.length - listed
  return new Configuration.WrongUse({ problems: more > 0 ? [...shown, `${flag}: and ${more} more`] : shown })
}

const ofArray = (flag: string, text: string) =>
  Effect.map(Submission.parseJson(flag, text), (parsed) =>
    (parsed as ReadonlyArray<unknown>).map((value, at): Entry => ({ place: `[${at}]`, value }))
  )

const ofLines = Effect.fnUntraced(function* (flag: string, text: string) {
  const lines = text
    .split("\n")
    .map((line, at) => ({ place: `line ${at + 1}`, line }))
    .filter(({ line }) => line.trim() !== "")
  const [entries, unreadable] = yield* Effect.partition(lines, ({ line, place }) =>
    Effect.map(Submission.parseJson(place, line), (value): Entry => ({ place, value }))
  )
  if (unreadable.length === 0) return entries
  return yield* wrong(
    flag,
    unreadable.flatMap(({ problems }) => problems)
  )
})

/** Reads the file, `-` for standard input, and names every line that the server would not take. */
export const fromFile = Effect.fn("Batch.fromFile")(function* (path: string) {
  const flag = `--batch ${path}`
  const text = yield* Submission.readText(flag, path)
  const entries = yield* text.trimStart().startsWith("[") ? ofArray(flag, text) : ofLines(flag, text)
  if (entries.length === 0) return yield* wrong(flag, ["there is no job in it"])
  if (entries.length > jobsPerBatch) {
    return yield* wrong(flag, [`there are ${entries.length} jobs in it; at most ${jobsPerBatch} go together`])
  }
  const [submissions, problems] = yield* Effect.partition(entries, ({ place, value }) =>
    Effect.mapError(Submission.decode(value), (error) => describeIssues(error).map((issue) => `${place}: ${issue}`))
  )
  if (problems.length > 0) return yield* wrong(flag, problems.flat())
  return submissions satisfies ReadonlyArray<JobSubmission>
})
