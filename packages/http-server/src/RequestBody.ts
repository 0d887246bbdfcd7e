/**
 * What a body must be before it is read: JSON, and within the limit. A form is refused although it might hold JSON,
 * because forms are what a foreign page can send without asking first.
 */
import type { HttpServerRequest } from "effect/http"
import * as Problems from "./contract/Problems.ts"
import type { HttpSettings } from "./HttpSettings.ts"

const json = /^application\/json *(?:;|$)/i
const longest = 200

/** Whether the request says that a body follows. */
export const hasBody = ({ headers }: HttpServerRequest.HttpServerRequest): boolean =>
  headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0"

export const tooLarge = ({ maxBodyBytes: limit_bytes }: HttpSettings): Problems.PayloadTooLarge =>
  new Problems.PayloadTooLarge({
    detail: `a body may have at most ${limit_bytes} bytes (MUSTER_MAX_PAYLOAD); files go before the job, to POST /assets`,
    limit_bytes
  })

/** Of the content of an asset. */
export const largerThan = (limit_bytes: number): Problems.PayloadTooLarge =>
  new Problems.PayloadTooLarge({
    detail: `a file may have at most ${limit_bytes} bytes (MUSTER_MAX_ASSET)`,
    limit_bytes
  })

const unsupported = (what: string) =>
  new Problems.UnsupportedMediaType({
    detail: `send the body as JSON, with \`Content-Type: application/json\`; this one ${what}`
  })

/** Takes any content as its body. */
const isUpload = ({ method, url }: HttpServerRequest.HttpServerRequest): boolean =>
  method === "POST" && /^\/assets(?:\?|$)/.test(url)

const form = /^(?:multipart\/|application\/x-www-form-urlencoded)/i

const checkUpload = (
  { maxAssetBytes }: HttpSettings,
  headers: HttpServerRequest.HttpServerRequest["headers"]
): Problems.PayloadTooLarge | Problems.UnsupportedMediaType | undefined => {
  if (Number(headers["content-length"]) > maxAssetBytes) return largerThan(maxAssetBytes)
  return form.test(headers["content-type"] ?? "")
    ? new Problems.UnsupportedMediaType({
        detail: "send the content itself as the body and its type as `Content-Type`, such as image/png; this is a form"
      })
    : undefined
}

/** The check of one request, by its headers: what is wrong with it, or nothing. */
export const check =
  (settings: HttpSettings) =>
  (
    request: HttpServerRequest.HttpServerRequest
  ): Problems.PayloadTooLarge | Problems.UnsupportedMediaType | undefined => {
    if (!hasBody(request)) return undefined
    const { headers } = request
    if (isUpload(request)) return checkUpload(settings, headers)
    if (Number(headers["content-length"]) > settings.maxBodyBytes) return tooLarge(settings)
    if (request.method === "GET" || request.method === "HEAD" || request.method === "DELETE") return undefined
    const type = headers["content-type"]
    if (type === undefined) return unsupported("names no type")
    if (!json.test(type)) return unsupported(`is ${type.slice(0, longest)}`)
    const coding = headers["content-encoding"]
    return coding === undefined || coding === "identity"
      ? undefined
      : unsupported(`is encoded as ${coding.slice(0, longest)}`)
  }
