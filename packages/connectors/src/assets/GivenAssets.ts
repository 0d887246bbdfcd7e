/**
 * Assets in what a job gives to a service, anywhere in it: `{"asset": FILE_NAME}` for an input, with `"job_id"` for what a
 * job made. Their content goes to the service, and in their place stands what it is to be told of them.
 */
import type { AssetStore } from "@muster/core/connector/AssetStore"
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import type { RemoteFiles } from "@muster/core/connector/RemoteFiles"
import { Effect, Schema } from "effect"
import * as InputFile from "./InputFile.ts"

const mostFiles = 100
/** Deeper ones are left as they are. */
const deepest = 20

const isGiven = Schema.is(InputFile.GivenAsset)
const isAsset = (value: object): value is InputFile.GivenAsset =>
  isGiven(value) && Object.keys(value).every((key) => key === "asset" || key === "job_id")

/** A small file in a text. */
export const dataUrl = ({ content, content_type }: InputFile.ReadyFile) =>
  Effect.map(
    Effect.promise(() => content.arrayBuffer()),
    (bytes) => `data:${content_type};base64,${Buffer.from(bytes).toString("base64")}`
  )

/** Gives the input with what `hand` gave for each asset, of at most `maxBytes`. `path` says where the input stands. */
export const place = Effect.fnUntraced(function* (
  path: string,
  input: Readonly<Record<string, unknown>>,
  maxBytes: number,
  hand: (file: InputFile.ReadyFile) => Effect.Effect<string, ConnectorFailure>
) {
  let files = 0
  type Placing = Effect.Effect<unknown, ConnectorFailure, AssetStore | RemoteFiles>

  const walk = (value: unknown, at: string, depth: number): Placing => {
    if (typeof value !== "object" || value === null || depth > deepest) return Effect.succeed(value)
    if (Array.isArray(value)) return Effect.forEach(value, (member, nth) => walk(member, `${at}[${nth}]`, depth + 1))
    if (isAsset(value)) {
      if (++files > mostFiles) {
        const message = `${path}: there are more than ${mostFiles} assets in it`
        return Effect.fail(new ConnectorFailure({ kind: "InvalidPayload", message }))
      }
      return Effect.scoped(Effect.flatMap(InputFile.read(at, value, maxBytes), hand))
    }
    return members(value, at, depth)
  }

  const members = (value: object, at: string, depth: number) =>
    Effect.map(
      Effect.forEach(Object.entries(value), ([name, member]) =>
        Effect.map(walk(member, `${at}.${name}`, depth + 1), (placed) => [name, placed] as const)
      ),
      (placed) => Object.fromEntries(placed)
    )

  return yield* members(input, path, 0)
})
