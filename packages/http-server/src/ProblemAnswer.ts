/** Turns a problem into an answer, with the headers its status asks for. */
import { Effect } from "effect"
import { HttpServerRespondable, HttpServerResponse } from "effect/http"
import type * as Problems from "./contract/Problems.ts"

/** Every problem: a contract class that renders itself. */
export type Problem = {
  readonly [K in keyof typeof Problems]: (typeof Problems)[K] extends abstract new (...args: never) => infer P
    ? P extends { readonly _tag: string }
      ? P
      : never
    : never
}[keyof typeof Problems]

const headersOf = (problem: Problem): Record<string, string> => {
  switch (problem._tag) {
    case "StoreUnavailable":
    case "TooManyStreams":
      return { "retry-after": String(problem.retry_after_s) }
    case "Unauthenticated":
      return { "www-authenticate": 'Bearer realm="muster"' }
    case "MethodNotAllowed":
      return { allow: problem.allowed.join(", ") }
    default:
      return {}
  }
}

export const answer = (problem: Problem): Effect.Effect<HttpServerResponse.HttpServerResponse> =>
  Effect.map(HttpServerRespondable.toResponse(problem), HttpServerResponse.setHeaders(headersOf(problem)))
