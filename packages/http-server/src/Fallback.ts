/**
 * The last resort of every request: whatever went wrong and was not answered by its route becomes a problem here.
 * What the caller did is said to the caller; what broke on this side is logged whole and answered bare.
 */
import { Cause, Effect } from "effect"
import { HttpServerError, HttpServerRequest, HttpServerResponse } from "effect/http"
import { HttpApiError } from "effect/http-api"
import type { unhandled } from "effect/Types"
import * as Problems from "./contract/Problems.ts"
import type { HttpSettings } from "./HttpSettings.ts"
import { answer, type Problem } from "./ProblemAnswer.ts"
import * as RequestBody from "./RequestBody.ts"
import * as RequestIssues from "./RequestIssues.ts"

export const internalError = new Problems.InternalError({
  detail: "something went wrong on the server; its log says what"
})

const isDecodable = (path: string): boolean => {
  try {
    decodeURI(path)
    return true
  } catch {
    return false
  }
}

const noRoute = ({ method, url }: HttpServerRequest.HttpServerRequest): Problem => {
  const path = url.split("?", 1).join()
  if (!isDecodable(path)) {
    const message = "the URL holds a % that is not followed by a valid encoding"
    return new Problems.InvalidRequest({ detail: message, errors: [{ path: "", message }] })
  }
  return new Problems.RouteNotFound({
    detail: `there is no ${method} ${path.slice(0, 200)}; /docs shows what there is`
  })
}

/** The problem that is the caller's, if it is one. */
const ofCaller = (settings: HttpSettings, error: unknown): Problem | undefined => {
  if (HttpApiError.HttpApiSchemaError.is(error)) {
    return error.kind === "Body" || error.kind === "ResponseHeaders" ? undefined : RequestIssues.toProblem(error.cause)
  }
  if (!HttpServerError.isHttpServerError(error)) return undefined
  const { reason } = error
  if (reason._tag === "RouteNotFound") return noRoute(reason.request)
  if (reason._tag !== "RequestParseError") return undefined
  if (reason.reason === "BodyTooLarge") return RequestBody.tooLarge(settings)
  const message = "the body could not be read to its end"
  return new Problems.InvalidRequest({ detail: message, errors: [{ path: "", message }] })
}

const failureOf = (cause: Cause.Cause<unknown>): unknown => {
  for (const reason of cause.reasons) {
    if (reason._tag === "Fail") return reason.error
    if (reason._tag === "Die") return reason.defect
  }
  return undefined
}

/** Answers every failure and defect of `self`; interruption goes on, because nobody is left to be answered. */
export const answerFailures =
  (settings: HttpSettings) =>
  (
    self: Effect.Effect<HttpServerResponse.HttpServerResponse, unhandled, HttpServerRequest.HttpServerRequest>
  ): Effect.Effect<HttpServerResponse.HttpServerResponse, unhandled, HttpServerRequest.HttpServerRequest> =>
    Effect.catchCause(self, (cause) => {
      if (Cause.hasInterruptsOnly(cause)) return Effect.failCause(cause)
      const error = failureOf(cause)
      if (HttpServerResponse.isHttpServerResponse(error)) return Effect.succeed(error)
      const problem = ofCaller(settings, error)
      if (problem !== undefined) return answer(problem)
      return Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ method, url }) =>
        Effect.logError("a request failed", cause).pipe(
          Effect.annotateLogs({ method, url: url.slice(0, 200) }),
          Effect.andThen(answer(internalError))
        )
      )
    })
