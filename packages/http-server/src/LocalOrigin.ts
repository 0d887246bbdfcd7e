/**
 * A server without a token trusts whoever reaches its loopback address, and a browser on the same host does so for any
 * page it shows. Two headers a page cannot forge tell them apart: `Host` names a foreign host when a name was
 * re-pointed at this address (DNS rebinding), and `Origin` names the page that asks.
 */
import type { HttpServerRequest } from "effect/http"
import * as Problems from "./contract/Problems.ts"
import type { HttpSettings } from "./HttpSettings.ts"

const loopback = String.raw`(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?`
const host = new RegExp(`^${loopback}$`, "i")
const origin = new RegExp(`^https?://${loopback}$`, "i")

/** The check of one request: what is wrong with it, or nothing. */
export const check = (
  settings: HttpSettings
): ((request: HttpServerRequest.HttpServerRequest) => Problems.Forbidden | undefined) => {
  if (settings.token !== null) return () => undefined
  return ({ headers }) => {
    if (!host.test(headers["host"] ?? "")) {
      return new Problems.Forbidden({
        detail: "without a token this server answers only to localhost and loopback addresses in `Host`"
      })
    }
    if (headers["origin"] !== undefined && !origin.test(headers["origin"])) {
      return new Problems.Forbidden({ detail: "without a token this server answers no page of another origin" })
    }
    return undefined
  }
}
