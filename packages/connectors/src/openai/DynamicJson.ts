/** A request that is passed on as it is: the payload itself, or what it has under `dynamic_json`. Source: document 003. */
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import { JsonObject } from "@muster/core/Json"
import { Effect, Option, Schema } from "effect"

export interface DynamicRequest {
  readonly request: Readonly<Record<string, unknown>>
  readonly saveAssets: boolean
}

const decode = Schema.decodeUnknownOption(JsonObject)

const invalid = (message: string) => new ConnectorFailure({ kind: "InvalidPayload", message })

/** What is to be asked, without what is meant for the connector. */
export const request = (payload: unknown): Effect.Effect<DynamicRequest, ConnectorFailure> =>
  Effect.gen(function* () {
    const given = Option.getOrUndefined(decode(payload))
    if (given === undefined) return yield* invalid("the payload is not a JSON object")
    const { dynamic_json, save_assets, ...bare } = given
    if (save_assets !== undefined && typeof save_assets !== "boolean") {
      return yield* invalid("save_assets: Expected boolean")
    }
    if (dynamic_json !== undefined && Object.keys(bare).length > 0) {
      return yield* invalid(`say the request either in dynamic_json or beside it, not both: ${Object.keys(bare)[0]}`)
    }
    const request = dynamic_json === undefined ? bare : Option.getOrUndefined(decode(dynamic_json))
    if (request === undefined) return yield* invalid("dynamic_json: Expected an object")
    const { save_assets: within, ...rest } = request
    return { request: rest, saveAssets: save_assets !== false && within !== false }
  })
