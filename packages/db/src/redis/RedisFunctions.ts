/**
 * The Lua functions of Muster in Redis, as typed commands. The library is loaded when Redis has none or an older one,
 * and again whenever Redis turns out to have lost it; a newer one is left alone, because it serves older callers too.
 */
import { Context, Effect, Layer, Schema, Semaphore } from "effect"
import * as Library from "./generated/Library.ts"
import { Redis, type Send } from "./Redis.ts"
import { RedisFailure, unexpected } from "./RedisFailure.ts"

export interface FunctionCalls {
  /** Calls `muster_1_<name>` for a queue, given by the prefix of its keys. The reply is not checked. */
  readonly call: (name: string, queue: string, args: ReadonlyArray<string>) => Effect.Effect<unknown, RedisFailure>
}

export class RedisFunctions extends Context.Service<RedisFunctions, FunctionCalls>()(
  "@muster/db/redis/RedisFunctions"
) {}

/** The text of a library and its version. */
export interface LibrarySource {
  readonly version: number
  readonly source: string
}

/** The prefix of every key of a queue, with the hash tag that keeps them on one shard. */
export const queuePrefix = (queue: string): string => `{muster:${queue}}`

const send = (by: Send, version: number, name: string, queue: string, args: ReadonlyArray<string>) =>
  by("FCALL", [`muster_1_${name}`, "1", queue, String(version), ...args])

/** Calls over another connection, which fail when the library is not there. */
export const over = (by: Send): FunctionCalls => ({
  call: (name, queue, args) => send(by, Library.version, name, queue, args)
})

/** Below every version. */
const none = -1

const says = (text: string) => (failure: RedisFailure) => String(failure.cause).includes(text)
const isMissing = says("Function not found")
const isOutdated = says("OUTDATED")
const isLoadedMeanwhile = says("already exists")

const make = Effect.fnUntraced(function* ({ source, version }: LibrarySource) {
  const redis = yield* Redis
  const oneAtATime = yield* Semaphore.make(1)

  /** The version Redis has. */
  const loadedVersion = redis.send("FCALL", ["muster_1_version", "1", queuePrefix("")]).pipe(
    Effect.map(Number),
    Effect.catchIf(isMissing, () => Effect.succeed(none))
  )

  const load = Effect.gen(function* () {
    const before = yield* loadedVersion
    if (before >= version) return
    // Without REPLACE the first of several callers wins, so that one with an older library cannot undo a newer one.
    const replace = before === none ? [] : ["REPLACE"]
    yield* redis
      .send("FUNCTION", ["LOAD", ...replace, source])
      .pipe(Effect.catchIf(isLoadedMeanwhile, () => Effect.void))
    const after = yield* loadedVersion
    if (after >= version) return
    return yield* new RedisFailure({
      detail: "the function library could not be loaded",
      unavailable: true,
      cause: new Error(`function library: version ${version} wanted, ${after} found`)
    })
  }).pipe(oneAtATime.withPermits(1))

  // Redis may be away now; the first call loads it then.
  yield* Effect.ignore(load)

  return RedisFunctions.of({
    call: (name, queue, args) => {
      const call = send(redis.send, version, name, queue, args)
      return Effect.catchIf(
        call,
        (failure) => isMissing(failure) || isOutdated(failure),
        () => Effect.andThen(load, call)
      )
    }
  })
})

/** The functions this build of Muster was made with. */
export const layer: Layer.Layer<RedisFunctions, never, Redis> = Layer.effect(RedisFunctions, make(Library))

/** Another library in their place, for tests of upgrades. */
export const layerOf = (library: LibrarySource): Layer.Layer<RedisFunctions, never, Redis> =>
  Layer.effect(RedisFunctions, make(library))

/**
 * Describes one function; applied to the functions and a queue's prefix, it is its typed call. `usual` reads replies that
 * come too often for a schema, by hand: it answers undefined, or throws, for any that it does not know, and they are
 * left to the schema.
 */
export const command =
  <Request, Reply extends Schema.ConstraintDecoder<unknown>>(options: {
    readonly name: string
    readonly args: (request: Request) => ReadonlyArray<string>
    readonly reply: Reply
    readonly usual?: (reply: unknown, request: Request) => Reply["Type"] | undefined
  }) =>
  (functions: FunctionCalls, queue: string) => {
    const decode = Schema.decodeUnknownEffect(options.reply)
    const { usual = () => undefined } = options
    const read = (reply: unknown, request: Request) => {
      try {
        return usual(reply, request)
      } catch {
        return undefined
      }
    }
    return (request: Request): Effect.Effect<Reply["Type"], RedisFailure> =>
      Effect.flatMap(functions.call(options.name, queue, options.args(request)), (reply) => {
        const known = read(reply, request)
        return known !== undefined ? Effect.succeed(known) : Effect.mapError(decode(reply), unexpected)
      })
  }
