/** What the operator decides about the HTTP door. Read once, when the routes are built. */
import { Context, type Redacted } from "effect"

export interface HttpSettings {
  /**
   * What callers must present as `Authorization: Bearer …`. Null: no token is asked for, and only requests that come
   * from this host, by a loopback name, are served.
   */
  readonly token: Redacted.Redacted | null
  /** The longest body a request may have. */
  readonly maxBodyBytes: number
  /** The largest input that `POST /assets` keeps. */
  readonly maxAssetBytes: number
}

export const HttpSettings = Context.Reference<HttpSettings>("@muster/http-server/HttpSettings", {
  defaultValue: () => ({ token: null, maxBodyBytes: 1024 * 1024, maxAssetBytes: 100 * 1024 * 1024 })
})
