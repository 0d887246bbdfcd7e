/**
 * A path that exists, asked with a method it does not know, is told which methods it knows. `/jobs/retry` is also what
 * `/jobs/:id` means for a job of that name, so it knows the methods of both.
 */
import { Effect } from "effect"
import { HttpRouter } from "effect/http"
import type { HttpApiEndpoint, HttpApiGroup } from "effect/http-api"
import { Api } from "../contract/Api.ts"
import * as Problems from "../contract/Problems.ts"
import { answer } from "../ProblemAnswer.ts"

const known = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] as const

/** Whether every request for `path` is one that `general` takes too. */
const covers = (general: string, path: string): boolean => {
  const names = path.split("/")
  const wanted = general.split("/")
  return names.length === wanted.length && wanted.every((name, at) => name.startsWith(":") || name === names[at])
}

const methodsByPath = (): ReadonlyMap<HttpRouter.PathInput, ReadonlySet<string>> => {
  const methods = new Map<HttpRouter.PathInput, Set<string>>([
    ["/openapi.json", new Set(["GET"])],
    ["/docs", new Set(["GET"])]
  ])
  const groups: ReadonlyArray<HttpApiGroup.Top> = Object.values(Api.groups as object)
  for (const group of groups) {
    for (const endpoint of Object.values(group.endpoints) as ReadonlyArray<HttpApiEndpoint.Top>) {
      const path = endpoint.path as HttpRouter.PathInput
      methods.set(path, (methods.get(path) ?? new Set()).add(endpoint.method))
    }
  }
  for (const [path, own] of methods) {
    for (const [general, others] of methods) {
      if (general !== path && covers(general, path)) for (const method of others) own.add(method)
    }
  }
  return methods
}

export const layer = HttpRouter.use(
  Effect.fnUntraced(function* (router) {
    for (const [path, methods] of methodsByPath()) {
      const allowed = [...methods]
      const detail = `this path takes ${allowed.join(" or ")}`
      const refusal = answer(new Problems.MethodNotAllowed({ detail, allowed }))
      for (const method of known) {
        if (!methods.has(method)) yield* router.add(method, path, refusal)
      }
    }
  })
)
