/** Who may call: whoever presents the token, when there is one. `/health` and `/ready` stay open for probes. */
import { createHash, timingSafeEqual } from "node:crypto"
import { Redacted } from "effect"
import type { HttpServerRequest } from "effect/http"
import * as Problems from "./contract/Problems.ts"
import type { HttpSettings } from "./HttpSettings.ts"

const open = /^\/(?:health|ready)(?:\?|$)/
const bearer = /^bearer +(\S+) *$/i

/** Equal lengths for the comparison, so that its time tells nothing about the token. */
const digest = (token: string): Buffer => createHash("sha256").update(token).digest()

/** The check of one request: what is wrong with it, or nothing. */
export const check = (
  settings: HttpSettings
): ((request: HttpServerRequest.HttpServerRequest) => Problems.Unauthenticated | undefined) => {
  const { token } = settings
  if (token === null) return () => undefined
  const expected = digest(Redacted.value(token))
  return (request) => {
    if (open.test(request.url)) return undefined
    const given = bearer.exec(request.headers["authorization"] ?? "")?.[1]
    if (given === undefined) {
      return new Problems.Unauthenticated({
        detail: "send `Authorization: Bearer TOKEN` with the token of this server"
      })
    }
    return timingSafeEqual(digest(given), expected)
      ? undefined
      : new Problems.Unauthenticated({ detail: "this is not the token of this server" })
  }
}
