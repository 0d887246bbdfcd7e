/** What `muster job submit` sends: its flags as the body of a request, checked by the contract before it leaves. */
import type * as SchemaIssues from "@muster/core/SchemaIssues"
import { JobSubmission } from "@muster/http-server/contract/JobsApi"
import { Effect, FileSystem, Schema, Stdio, Stream } from "effect"
import * as Configuration from "../Configuration.ts"
import * as Needs from "./Needs.ts"
import { describeIssues } from "./Server.ts"

/** The flags; what is undefined was not given. Fields that the wire has too are spelled as there. */
export interface Flags {
  readonly service_required: string
  /** What the job needs, beside `requirements`. */
  readonly needs?: Omit<Needs.Flags, "requirements"> | undefined
  readonly id?: string | undefined
  readonly priority?: number | undefined
  readonly max_retries?: number | undefined
  readonly timeout_ms?: number | undefined
  readonly run_at?: string | undefined
  readonly expires_at?: string | undefined
  readonly customer_id?: string | undefined
  readonly workflow_id?: string | undefined
  readonly workflow_priority?: number | undefined
  readonly workflow_datetime?: string | undefined
  readonly if_unmatchable?: "wait" | "reject" | undefined
  /** JSON texts. */
  readonly payload?: string | undefined
  readonly metadata?: string | undefined
  readonly requirements?: string | undefined
  /** A path, or `-` for standard input. */
  readonly payloadFile?: string | undefined
}

const wrong = (...problems: ReadonlyArray<string>) => new Configuration.WrongUse({ problems })

/** What the text says; `flag` is how it is called when it is not JSON. */
export const parseJson = (flag: string, text: string) =>
  Effect.try({
    try: (): unknown => JSON.parse(text),
    catch: (error) => wrong(`${flag}: not JSON: ${error instanceof Error ? error.message : String(error)}`)
  })

const read = Effect.fnUntraced(function* (path: string) {
  if (path === "-") {
    const stdio = yield* Stdio.Stdio
    return yield* Stream.mkString(Stream.decodeText(stdio.stdin))
  }
  const files = yield* FileSystem.FileSystem
  return yield* files.readFileString(path)
})

const unreadable: Readonly<Record<string, string>> = {
  NotFound: "no such file",
  PermissionDenied: "the file may not be read",
  BadResource: "it is no file"
}

/** The text of a file, `-` for standard input; `flag` is how it is called when it cannot be read. */
export const readText = (flag: string, path: string) =>
  read(path).pipe(
    Effect.mapError(({ reason }) => wrong(`${flag}: ${unreadable[reason._tag] ?? reason.message}`)),
    // Editors on Windows put a byte order mark first, which JSON does not know.
    Effect.map((text) => text.replace(/^\ufeff/, ""))
  )

const readPayload = Effect.fnUntraced(function* (payload: string | undefined, payloadFile: string | undefined) {
  if (payload !== undefined && payloadFile !== undefined) {
    return yield* wrong("--payload and --payload-file: give one of the two")
  }
  if (payload !== undefined) return yield* parseJson("--payload", payload)
  if (payloadFile === undefined) return undefined
  const flag = `--payload-file ${payloadFile}`
  return yield* parseJson(flag, yield* readText(flag, payloadFile))
})

/** How a field of the body is called on the command line. */
const flagOf =
  (needs: Needs.Needs) =>
  (path: SchemaIssues.Path): string => {
    const [field = "", ...inner] = path.map(String)
    if (field === "requirements") return needs.flagOf(inner)
    const flag = field === "service_required" ? "SERVICE" : `--${field.replaceAll("_", "-")}`
    return [flag, ...inner].join(".")
  }

/** A submission in JSON as the contract has it. */
export const decode = Schema.decodeUnknownEffect(Schema.toCodecJson(JobSubmission), {
  errors: "all",
  onExcessProperty: "error"
})

/** Reads what the flags point to and checks everything the server would check, naming flags instead of fields. */
export const fromFlags = Effect.fn("Submission.fromFlags")(function* (flags: Flags) {
  const { metadata, needs: said, payload, payloadFile, requirements, ...fields } = flags
  const needs = yield* Needs.fromFlags({
    ...said,
    requirements: requirements === undefined ? undefined : yield* parseJson("--requirements", requirements)
  })
  const body = {
    ...fields,
    requirements: needs.requirements,
    payload: yield* readPayload(payload, payloadFile),
    metadata: metadata === undefined ? undefined : yield* parseJson("--metadata", metadata)
  }
  const given = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined))
  return yield* decode(given).pipe(Effect.mapError((error) => wrong(...describeIssues(error, flagOf(needs)))))
})
