/**
 * A request as it is kept in Redis: canonical JSON that leaves out what most requests leave out, so that equal requests
 * have equal texts and most texts are short. It was checked at the door; only its form is looked at when it is read, for
 * checking each field again would be most of what a claim costs its worker.
 */
import type { JobRequest } from "@muster/core/job/Job"
import { canonical } from "@muster/core/Json"
import { DateTime, Effect, Schema, SchemaGetter, SchemaIssue } from "effect"

/** What is left out, by name. Texts outlive processes: this is their format, whatever a caller's defaults become. */
const unsaid = {
  customer_id: "null",
  expires_at: "null",
  max_retries: "3",
  metadata: "null",
  payload: "{}",
  priority: "50",
  requirements: "{}",
  run_at: "null",
  service_required: "",
  timeout_ms: "null",
  workflow_datetime: "null",
  workflow_id: "null",
  workflow_priority: "null"
} satisfies Record<keyof JobRequest, string>

const names = (Object.keys(unsaid) as ReadonlyArray<keyof JobRequest>).toSorted()

export const requestText = (request: JobRequest): string => {
  let members = ""
  for (const name of names) {
    const value = request[name]
    const text = value === null ? "null" : canonical(value)
    if (text !== unsaid[name]) members += `${members === "" ? "" : ","}"${name}":${text}`
  }
  return `{${members}}`
}

type Parsed = Omit<JobRequest, "workflow_datetime" | "run_at" | "expires_at"> & {
  readonly workflow_datetime?: string
  readonly run_at?: string
  readonly expires_at?: string
}

const time = (text: string | undefined): DateTime.Utc | null => (text === undefined ? null : DateTime.makeUnsafe(text))

/** The request of such a text; throws for one that is none. */
export const requestOf = (text: string): JobRequest => {
  const said: Partial<Parsed> = JSON.parse(text)
  const { service_required } = said
  if (typeof service_required !== "string") throw new Error("a request without a job type")
  return {
    service_required,
    payload: "payload" in said ? said.payload : {},
    requirements: said.requirements ?? {},
    priority: said.priority ?? 50,
    workflow_id: said.workflow_id ?? null,
    workflow_priority: said.workflow_priority ?? null,
    workflow_datetime: time(said.workflow_datetime),
    customer_id: said.customer_id ?? null,
    max_retries: said.max_retries ?? 3,
    timeout_ms: said.timeout_ms ?? null,
    run_at: time(said.run_at),
    expires_at: time(said.expires_at),
    metadata: said.metadata ?? null
  }
}

const unreadable = new SchemaIssue.InvalidValue({ expected: "the text of a request" })

const parsed = (text: string): Effect.Effect<JobRequest, SchemaIssue.Issue> => {
  try {
    return Effect.succeed(requestOf(text))
  } catch {
    return Effect.fail(unreadable)
  }
}

export const StoredRequest = Schema.String.pipe(
  Schema.decodeTo(
    Schema.declare((value): value is JobRequest => typeof value === "object"),
    { decode: SchemaGetter.transformEffect(parsed), encode: SchemaGetter.transform(requestText) }
  )
)
