/** The check behind `NothingUnasked`. It asks of a request only what its route leaves open. */
import { Effect, Layer } from "effect"
import { HttpServerRequest } from "effect/http"
import { NothingUnasked } from "./contract/NothingUnasked.ts"
import * as Problems from "./contract/Problems.ts"
import { answer } from "./ProblemAnswer.ts"
import { hasBody } from "./RequestBody.ts"

const refuse = (detail: string, errors: ReadonlyArray<Problems.RequestIssue>) =>
  answer(new Problems.InvalidRequest({ detail, errors }))

const refuseQuery = (url: string) => {
  const names = new Set(new URLSearchParams(url.slice(url.indexOf("?") + 1)).keys())
  const errors = [...names].slice(0, 100).map((path) => ({ path: path.slice(0, 100), message: "Unknown field" }))
  return refuse("this route takes no query", errors)
}

const isEmpty = (text: string): boolean => /^\s*(?:\{\s*\})?\s*$/.test(text)

export const layer: Layer.Layer<NothingUnasked> = Layer.succeed(NothingUnasked, (route, { endpoint }) => {
  const takesQuery = endpoint.query !== undefined
  const takesBody = endpoint.payload.size > 0 || endpoint.method === "GET" || endpoint.method === "DELETE"
  if (takesQuery && takesBody) return route
  return Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
    if (!takesQuery && /\?./.test(request.url)) return refuseQuery(request.url)
    if (takesBody || !hasBody(request)) return route
    return Effect.flatMap(Effect.orDie(request.text), (text) => {
      if (isEmpty(text)) return route
      const message = "this route takes no body, or an empty object"
      return refuse(message, [{ path: "", message }])
    })
  })
})
