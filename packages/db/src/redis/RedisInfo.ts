/** What Redis says of itself: the `name:value` lines of INFO, and its settings. */
import { Effect, Option, Schema } from "effect"
import { Redis } from "./Redis.ts"
import type { RedisFailure } from "./RedisFailure.ts"

export type Info = ReadonlyMap<string, string>

const decodeText = Schema.decodeUnknownOption(Schema.String)
const decodeTexts = Schema.decodeUnknownOption(Schema.Array(Schema.String))

const parse = (text: string): Info =>
  new Map(
    text.split("\r\n").flatMap((line): Array<[string, string]> => {
      const colon = line.indexOf(":")
      return colon > 0 ? [[line.slice(0, colon), line.slice(colon + 1)]] : []
    })
  )

/** Undefined where the server forbids the command, as managed ones do; only an absent Redis is a failure. */
const ask = (command: string, ...args: ReadonlyArray<string>): Effect.Effect<unknown, RedisFailure, Redis> =>
  Effect.flatMap(Redis, (redis) =>
    Effect.catchIf(
      redis.send(command, args),
      (failure) => !failure.unavailable,
      () => Effect.succeed(undefined)
    )
  )

/** Empty where the server hides it. */
export const read = (...sections: ReadonlyArray<string>): Effect.Effect<Info, RedisFailure, Redis> =>
  Effect.map(ask("INFO", ...sections), (reply) => parse(Option.getOrElse(decodeText(reply), () => "")))

/** Undefined where the server hides it. */
export const setting = (name: string): Effect.Effect<string | undefined, RedisFailure, Redis> =>
  Effect.map(ask("CONFIG", "GET", name), (reply) => Option.getOrElse(decodeTexts(reply), () => [])[1])

export const number = (info: Info, name: string): number | undefined => {
  const text = info.get(name)
  return text === undefined || !/^-?\d+(\.\d+)?$/.test(text) ? undefined : Number(text)
}
