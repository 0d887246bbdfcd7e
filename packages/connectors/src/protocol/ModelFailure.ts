/** What a model that ran elsewhere failed of. Services hand on its words alone, so the kind has to be read from them. */
import { ConnectorFailure, type FailureKind } from "@muster/core/connector/ConnectorFailure"

const longestWords = 1_000

/** The first that matches. */
const kinds: ReadonlyArray<readonly [RegExp, FailureKind]> = [
  // Replicate's code for what its filters stop.
  [/\bE005\b|\bNSFW\b|flagged as sensitive|safety (checker|filter)|content policy/i, "Rejected"],
  [/out of memory|OutOfMemoryError/i, "ResourceExhausted"]
]

/** `what` is what failed, `said` what the service says about it. */
export const make = (what: string, said: unknown): ConnectorFailure => {
  const words = typeof said === "string" ? said : JSON.stringify(said ?? "no reason given")
  const [, kind = "ServiceUnavailable"] = kinds.find(([pattern]) => pattern.test(words)) ?? []
  return new ConnectorFailure({ kind, message: `${what} failed: ${words.slice(0, longestWords)}` })
}
