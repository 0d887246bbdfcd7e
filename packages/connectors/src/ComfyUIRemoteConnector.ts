/**
 * Runs workflows on a ComfyUI elsewhere, behind credentials and TLS: a bearer token, a user with a password, or a header
 * of one's own. Otherwise as ComfyUIWebSocketConnector.
 */
import type { Connector } from "@muster/core/connector/Connector"
import { Effect, Redacted, Schema } from "effect"
import * as ComfyJobs from "./comfyui/ComfyJobs.ts"
import * as ComfyVariables from "./comfyui/ComfyVariables.ts"
import * as Settings from "./Settings.ts"

const name = "ComfyUIRemoteConnector"

const optional = <S extends Schema.Constraint>(secret: S) => Schema.Union([Schema.Literal(""), secret])
const headerValue = Settings.secretLike(/^[\x20-\x7e]+$/, "the value of a header, in ASCII characters")
const given = (value: string | Redacted.Redacted): value is Redacted.Redacted => value !== ""

const Variables = Schema.Struct({
  COMFYUI_REMOTE_URL: Settings.httpUrl,
  COMFYUI_REMOTE_TOKEN: optional(Settings.token),
  COMFYUI_REMOTE_USERNAME: Schema.String.check(
    Schema.isPattern(/^[^:\p{Cc}]*$/u, { expected: "a name without colons" })
  ),
  COMFYUI_REMOTE_PASSWORD: optional(Settings.secret),
  COMFYUI_REMOTE_HEADER_NAME: Schema.String.check(
    Schema.isPattern(/^[A-Za-z0-9-]{0,100}$/, { expected: "the name of a header" })
  ),
  COMFYUI_REMOTE_HEADER_VALUE: optional(headerValue),
  ...ComfyVariables.Variables.fields
}).check(
  Schema.makeFilter((settings) => {
    const { COMFYUI_REMOTE_HEADER_NAME, COMFYUI_REMOTE_HEADER_VALUE, COMFYUI_REMOTE_TOKEN } = settings
    const hasUser = settings.COMFYUI_REMOTE_USERNAME !== ""
    const hasHeader = COMFYUI_REMOTE_HEADER_NAME !== ""
    return [
      ...(hasUser && given(COMFYUI_REMOTE_TOKEN)
        ? [{ path: ["COMFYUI_REMOTE_TOKEN"], issue: "say either a token or a user" }]
        : []),
      ...(hasUser === given(settings.COMFYUI_REMOTE_PASSWORD)
        ? []
        : [{ path: ["COMFYUI_REMOTE_PASSWORD"], issue: "say both a user and a password, or neither" }]),
      ...(hasHeader === given(COMFYUI_REMOTE_HEADER_VALUE)
        ? []
        : [{ path: ["COMFYUI_REMOTE_HEADER_VALUE"], issue: "say both the name and the value of a header, or neither" }])
    ]
  })
)

const headersOf = (settings: typeof Variables.Type): Readonly<Record<string, Redacted.Redacted>> => {
  const { COMFYUI_REMOTE_HEADER_NAME, COMFYUI_REMOTE_HEADER_VALUE, COMFYUI_REMOTE_PASSWORD, COMFYUI_REMOTE_TOKEN } =
    settings
  const basic = (password: Redacted.Redacted) =>
    Buffer.from(`${settings.COMFYUI_REMOTE_USERNAME}:${Redacted.value(password)}`).toString("base64")
  return {
    ...(given(COMFYUI_REMOTE_TOKEN)
      ? { authorization: Redacted.make(`Bearer ${Redacted.value(COMFYUI_REMOTE_TOKEN)}`) }
      : {}),
    ...(given(COMFYUI_REMOTE_PASSWORD)
      ? { authorization: Redacted.make(`Basic ${basic(COMFYUI_REMOTE_PASSWORD)}`) }
      : {}),
    ...(given(COMFYUI_REMOTE_HEADER_VALUE)
      ? { [COMFYUI_REMOTE_HEADER_NAME.toLowerCase()]: COMFYUI_REMOTE_HEADER_VALUE }
      : {})
  }
}

export const connector: Connector = {
  name,
  variables: {
    COMFYUI_REMOTE_URL: "${COMFYUI_REMOTE_URL}",
    COMFYUI_REMOTE_TOKEN: "${COMFYUI_REMOTE_TOKEN:-}",
    COMFYUI_REMOTE_USERNAME: "${COMFYUI_REMOTE_USERNAME:-}",
    COMFYUI_REMOTE_PASSWORD: "${COMFYUI_REMOTE_PASSWORD:-}",
    COMFYUI_REMOTE_HEADER_NAME: "${COMFYUI_REMOTE_HEADER_NAME:-}",
    COMFYUI_REMOTE_HEADER_VALUE: "${COMFYUI_REMOTE_HEADER_VALUE:-}",
    ...ComfyVariables.variables
  },
  acquire: (settings) =>
    Effect.flatMap(Settings.decode(name, Variables, settings), (decoded) =>
      ComfyJobs.make({
        ...ComfyVariables.common(decoded),
        url: decoded.COMFYUI_REMOTE_URL,
        headers: headersOf(decoded)
      })
    )
}
