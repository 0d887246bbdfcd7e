/**
 * The typed client of Muster, from the same contract as its server: what a route takes, answers and refuses is checked
 * when the caller is compiled, and problems arrive as tagged errors.
 *
 * It adds nothing to the requests but the token, and repeats none: whoever calls knows what may be repeated.
 */
import * as DurationText from "@muster/core/DurationText"
import { Duration, Effect, Option, Redacted, Schema } from "effect"
import { HttpClient, type HttpClientError, HttpClientRequest, UrlParams } from "effect/http"
import { HttpApiClient } from "effect/http-api"
import { Api } from "../contract/Api.ts"

/** Nobody answers at the address: no server, no route to it, or none in time. */
export class ServerUnreachable extends Schema.TaggedError<ServerUnreachable>(
  "@muster/http-server/client/MusterClient/ServerUnreachable"
)("ServerUnreachable", { url: Schema.String, reason: Schema.String, cause: Schema.Defect() }) {
  override get message() {
    return `no Muster server at ${this.url} (${this.reason})`
  }
}

export interface ClientOptions {
  /** Where the server is, such as `http://127.0.0.1:3331`. */
  readonly baseUrl: string
  readonly token?: Redacted.Redacted | undefined
  /** How long one answer may take, beyond what it was asked to wait; default 30 s. */
  readonly patience?: Duration.Duration | undefined
}

const withoutCredentials = (url: string): string => {
  const shown = new URL(url)
  shown.username = ""
  shown.password = ""
  return shown.href.replace(/\/$/, "")
}

/** The deepest cause that says something: `fetch failed` does not, the system's `ECONNREFUSED` does. */
const rootCause = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  if (error.cause instanceof Error) return rootCause(error.cause)
  return "code" in error && typeof error.code === "string" ? error.code : error.message
}

/** How long the server was asked to wait before it answers. */
const askedWait = ({ urlParams }: HttpClientRequest.HttpClientRequest): Duration.Duration =>
  Duration.millis(DurationText.parse(Option.getOrElse(UrlParams.getFirst(urlParams, "wait"), () => "0s")) ?? 0)

/** A client for the server at `baseUrl`. Every call can fail with {@link ServerUnreachable}. */
export const make = Effect.fnUntraced(function* ({ baseUrl, patience = Duration.seconds(30), token }: ClientOptions) {
  const url = withoutCredentials(baseUrl)
  const unreachable = (error: HttpClientError.HttpClientError) =>
    error.reason._tag === "TransportError"
      ? new ServerUnreachable({ url, reason: rootCause(error), cause: error })
      : error
  const silent = Effect.fail(
    new ServerUnreachable({ url, reason: `no answer within ${Duration.format(patience)}`, cause: undefined })
  )
  const httpClient = (yield* HttpClient.HttpClient).pipe(
    HttpClient.mapRequest((request) =>
      token === undefined ? request : HttpClientRequest.bearerToken(request, Redacted.value(token))
    ),
    HttpClient.transform((response, request) =>
      response.pipe(
        Effect.mapError(unreachable),
        Effect.timeoutOrElse({ duration: Duration.sum(patience, askedWait(request)), orElse: () => silent })
      )
    )
  )
  return yield* HttpApiClient.makeWith(Api, { httpClient, baseUrl })
})

export type MusterClient = Effect.Success<ReturnType<typeof make>>
