/** The server that the operator commands talk to: MUSTER_URL, with MUSTER_TOKEN where it demands one. */
import * as MusterClient from "@muster/http-server/client/MusterClient"
import * as SchemaIssues from "@muster/core/SchemaIssues"
import { Effect, Schema } from "effect"
import { FetchHttpClient, HttpClientError, type HttpClientResponse } from "effect/http"
import * as Configuration from "../Configuration.ts"
import { environment } from "../Environment.ts"

/** As the client has it, with what to do about it. */
export class ServerUnreachable extends Schema.TaggedError<ServerUnreachable>(
  "@muster/app/operator/Server/ServerUnreachable"
)("ServerUnreachable", { cause: MusterClient.ServerUnreachable }) {
  override get message() {
    return `${this.cause.message}; start one with \`npm start\` or set MUSTER_URL`
  }
}

/** Something answers there, but not what the contract has: another service, a proxy, a server of another version. */
export class UnexpectedAnswer extends Schema.TaggedError<UnexpectedAnswer>(
  "@muster/app/operator/Server/UnexpectedAnswer"
)("UnexpectedAnswer", { reason: Schema.String }) {
  override get message() {
    return `what answers at MUSTER_URL is no Muster server of this version: ${this.reason}`
  }
}

/** An answer twice: decoded, and the JSON as the server wrote it. */
export interface Answer<A> {
  readonly value: A
  readonly body: unknown
}

type Technical = HttpClientError.HttpClientError | Schema.SchemaError

const isTechnical = (error: unknown): error is Technical =>
  HttpClientError.isHttpClientError(error) || Schema.isSchemaError(error)

const explain = (error: Technical): UnexpectedAnswer => {
  if (Schema.isSchemaError(error)) return new UnexpectedAnswer({ reason: describeIssues(error).join("; ") })
  const { reason } = error
  if (!("response" in reason)) return new UnexpectedAnswer({ reason: reason.message })
  const { headers, status } = reason.response
  return new UnexpectedAnswer({ reason: `status ${status}, ${headers["content-type"] ?? "no content type"}` })
}

/** What went wrong with a call or a stream, in the words of this command line. */
export const tell = <E>(error: E) => {
  if (error instanceof MusterClient.ServerUnreachable) return new ServerUnreachable({ cause: error })
  return isTechnical(error) ? explain(error) : (error as Exclude<E, Technical | MusterClient.ServerUnreachable>)
}

/** Makes a call; it has to be one with `responseMode: "decoded-and-response"`. */
export const ask = <A, E>(call: Effect.Effect<[A, HttpClientResponse.HttpClientResponse], E>) =>
  call.pipe(
    Effect.flatMap(([value, response]) => Effect.map(response.json, (body): Answer<A> => ({ value, body }))),
    Effect.mapError(tell)
  )

/** A client for the configured server. */
export const connect = Effect.gen(function* () {
  const { token, url } = yield* Configuration.read(environment)
  return yield* MusterClient.make({ baseUrl: url, token })
}).pipe(Effect.provide(FetchHttpClient.layer))

const firstLower = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1)

/** Each thing that a schema found; `name` spells where. */
export const describeIssues = (
  { issue }: Schema.SchemaError,
  name: (path: SchemaIssues.Path) => string = SchemaIssues.pathText
): ReadonlyArray<string> =>
  SchemaIssues.all(issue).map(({ message, path }) =>
    path.length === 0 ? message : `${name(path)}: ${firstLower(message)}`
  )

/** An argument as the contract has it, or wrong use; `name` is how the help calls the argument. */
export const decodeArgument = <A>(schema: Schema.Codec<A, string>, name: string, text: string) =>
  Schema.decodeEffect(schema)(text).pipe(
    Effect.mapError(
      (error) =>
        new Configuration.WrongUse({ problems: describeIssues(error).map((issue) => `${name}: ${firstLower(issue)}`) })
    )
  )
