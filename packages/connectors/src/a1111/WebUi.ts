/** The HTTP API of one Stable Diffusion web UI (A1111). Everything it answers is decoded here. */
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import { Duration, Effect, Option, Redacted, Schema } from "effect"
import { type HttpClient, HttpClientRequest } from "effect/http"
import * as HttpService from "../protocol/HttpService.ts"

export interface WebUiSettings {
  /** Without a slash at its end. */
  readonly url: string
  /** `user:password`, as its `--api-auth` has it. */
  readonly auth: Redacted.Redacted | undefined
  /** For all but the making of images. */
  readonly timeout: Duration.Duration
  readonly generationTimeout: Duration.Duration
  readonly maxRetries: number
}

/** What it does now, whoever asked for it. Builds before 1.5 tell no `job` that is worth anything. */
export const State = Schema.Struct({
  progress: Schema.Number,
  state: Schema.Struct({
    job_count: Schema.Number,
    job_timestamp: Schema.optionalKey(Schema.NullOr(Schema.String)),
    interrupted: Schema.optionalKey(Schema.NullOr(Schema.Boolean)),
    sampling_step: Schema.optionalKey(Schema.NullOr(Schema.Int)),
    sampling_steps: Schema.optionalKey(Schema.NullOr(Schema.Int))
  })
})
export type State = typeof State.Type

/** What became of one task, by the id that it was given. */
export const Task = Schema.Struct({ active: Schema.Boolean, queued: Schema.Boolean, completed: Schema.Boolean })
export type Task = typeof Task.Type

export const Generated = Schema.Struct({
  images: Schema.NullOr(Schema.Array(Schema.String)),
  /** JSON in a text. */
  info: Schema.String
})
export type Generated = typeof Generated.Type

export const Model = Schema.Struct({ title: Schema.String, model_name: Schema.String })
export const Sampler = Schema.Struct({ name: Schema.String })
const Memory = Schema.Struct({
  cuda: Schema.Struct({ system: Schema.optionalKey(Schema.Struct({ total: Schema.Finite })) })
})

export type Mode = "txt2img" | "img2img"

export interface WebUi {
  readonly state: Effect.Effect<State, ConnectorFailure>
  /** None where the build does not tell it. */
  readonly task: (id: string) => Effect.Effect<Option.Option<Task>, ConnectorFailure>
  /** Answers when the images are made. */
  readonly generate: (mode: Mode, request: unknown) => Effect.Effect<Generated, ConnectorFailure>
  /** Stops whatever runs. */
  readonly interrupt: Effect.Effect<void, ConnectorFailure>
  readonly models: Effect.Effect<ReadonlyArray<typeof Model.Type>, ConnectorFailure>
  readonly samplers: Effect.Effect<ReadonlyArray<typeof Sampler.Type>, ConnectorFailure>
  /** Bytes of the memory of its GPU; none where it does not say. */
  readonly gpuMemory: Effect.Effect<Option.Option<number>, ConnectorFailure>
}

const name = "the web UI"
/** Images come in base64, many at once. */
const mostAnswer = 256 * 1024 * 1024

const Invalid = Schema.Struct({
  detail: Schema.Array(
    Schema.Struct({ loc: Schema.Array(Schema.Union([Schema.String, Schema.Number])), msg: Schema.String })
  )
})
const Said = Schema.Struct({
  error: Schema.optionalKey(Schema.String),
  detail: Schema.optionalKey(Schema.String),
  errors: Schema.optionalKey(Schema.String)
})

/** What it says about an error: a list of wrong fields, or the name of an exception with its words. */
const words = (body: unknown): string | undefined => {
  const invalid = Schema.decodeUnknownOption(Invalid)(body)
  if (Option.isSome(invalid)) return invalid.value.detail.map(({ loc, msg }) => `${loc.join(".")}: ${msg}`).join("; ")
  const said = Schema.decodeUnknownOption(Said)(body)
  if (Option.isNone(said)) return undefined
  const { detail, error, errors } = said.value
  return [error, errors, detail].filter((text) => text !== undefined && text !== "").join(": ")
}

const isOutOfMemory = Schema.is(Schema.Struct({ error: Schema.Literal("OutOfMemoryError") }))

const failureOf = ({ body }: HttpService.HttpRefusal): ConnectorFailure | undefined =>
  isOutOfMemory(body)
    ? new ConnectorFailure({ kind: "ResourceExhausted", message: `${name} ran out of memory of its GPU` })
    : undefined

/** Not there: builds and command lines differ in what they have. */
const ifThere = <A>(self: Effect.Effect<A, ConnectorFailure>): Effect.Effect<Option.Option<A>, ConnectorFailure> =>
  self.pipe(
    Effect.map(Option.some),
    Effect.catchIf(
      ({ kind }) => kind === "InvalidPayload" || kind === "ProtocolError",
      () => Effect.succeedNone
    )
  )

export const make = Effect.fnUntraced(function* (
  settings: WebUiSettings
): Effect.fn.Return<WebUi, never, HttpClient.HttpClient> {
  const { auth, generationTimeout, maxRetries, timeout, url } = settings
  const common = { name, maxRetries, wordsOf: words, failureOf }
  const service = yield* HttpService.make({ ...common, timeout })
  const generation = yield* HttpService.make({
    ...common,
    timeout: generationTimeout,
    maxAnswerBytes: mostAnswer,
    tooLong: "InvalidPayload"
  })

  const authorized = (request: HttpClientRequest.HttpClientRequest) =>
    auth === undefined
      ? request
      : HttpClientRequest.setHeader(
          request,
          "authorization",
          `Basic ${Buffer.from(Redacted.value(auth)).toString("base64")}`
        )
  const get = (path: string) => authorized(HttpClientRequest.get(`${url}${path}`))
  const post = (path: string, body: unknown) =>
    HttpClientRequest.bodyJsonUnsafe(authorized(HttpClientRequest.post(`${url}${path}`)), body)

  return {
    state: service.json(get("/sdapi/v1/progress?skip_current_image=true"), State),
    task: (id) => ifThere(service.json(post("/internal/progress", { id_task: id, live_preview: false }), Task)),
    generate: (mode, request) => generation.json(post(`/sdapi/v1/${mode}`, request), Generated),
    interrupt: Effect.asVoid(service.bytes(post("/sdapi/v1/interrupt", {}))),
    models: service.json(get("/sdapi/v1/sd-models"), Schema.Array(Model)),
    samplers: service.json(get("/sdapi/v1/samplers"), Schema.Array(Sampler)),
    gpuMemory: Effect.map(ifThere(service.json(get("/sdapi/v1/memory"), Memory)), (memory) =>
      Option.flatMap(memory, ({ cuda }) => Option.fromUndefinedOr(cuda.system?.total))
    )
  }
})
