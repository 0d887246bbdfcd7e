/** Tells the mapping that this server was started with. */
import { KnownMapping } from "@muster/core/mapping/KnownMapping"
import { redacted } from "@muster/core/mapping/Redaction"
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Api } from "../contract/Api.ts"

export const layer = HttpApiBuilder.group(
  Api,
  "mapping",
  Effect.fnUntraced(function* (handlers) {
    const known = yield* KnownMapping
    const told =
      known === null ? { mapping: null, findings: [] } : { mapping: redacted(known.mapping), findings: known.findings }
    return handlers.handleAll({ get: () => Effect.succeed(told) })
  })
)
