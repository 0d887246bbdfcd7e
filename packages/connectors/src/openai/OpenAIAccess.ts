/**
 * The OpenAI API by its official package, as connectors use it: every call that costs is taken from the shared budget
 * first and is made once; interrupting it aborts the request. The connections go with the scope.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { fetch as undiciFetch, type RequestInit as UndiciRequest } from "@effect/platform-node/Undici"
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import * as SchemaIssues from "@muster/core/SchemaIssues"
import { Cause, Clock, DateTime, Duration, Effect, Queue, Redacted, Schedule, Schema, type Scope, Stream } from "effect"
import type OpenAI from "openai"
import * as HttpService from "../protocol/HttpService.ts"
import { HttpClientRequest } from "effect/http"
import { accepted, ofError, ofSaid, type Refusal, saidIn } from "./OpenAIFailure.ts"
import type { Account } from "./OpenAISettings.ts"
import * as SharedBudget from "./SharedBudget.ts"

/** What each call of the package is given. */
export interface CallOptions {
  readonly signal: AbortSignal
  readonly headers?: Readonly<Record<string, string>>
}

/** What the package gives for a request that is streamed. */
interface Streaming {
  readonly withResponse: () => Promise<{ readonly data: AsyncIterable<unknown>; readonly response: Response }>
}

type Run<A> = (client: OpenAI, options: CallOptions) => Promise<A>

export interface OpenAIAccess {
  /** A call that costs, decoded. `key` lets a provider that knows such keys see that it was asked the same before. */
  readonly paid: <A, I>(key: string, schema: Schema.Codec<A, I>, run: Run<unknown>) => Effect.Effect<A, Refusal>
  /**
   * The same, answered in parts, each of which comes within the timeout. A service that does not stream answers in one
   * part, as it would have without.
   */
  readonly streamed: <A, I>(
    key: string,
    schema: Schema.Codec<A, I>,
    run: (client: OpenAI, options: CallOptions) => Streaming
  ) => Stream.Stream<A, Refusal>
  /** A call that costs nothing and may be made again. */
  readonly free: <A, I>(schema: Schema.Codec<A, I>, run: Run<unknown>) => Effect.Effect<A, ConnectorFailure>
  /** Hears of work that was taken on and failed, for the shared budget. */
  readonly told: (failure: ConnectorFailure) => Effect.Effect<void>
  /** Fails when nothing could be asked with this key now. */
  readonly health: Effect.Effect<void, ConnectorFailure>
}

const partsOf = async (streaming: Streaming): Promise<AsyncIterable<unknown>> => {
  const { data, response } = await streaming.withResponse()
  if (!response.headers.get("content-type")?.includes("application/json")) return data
  return (async function* () {
    yield (await response.json()) as unknown
  })()
}

/** Parts as they come: those that have come together are taken together. */
const arriving = (parts: AsyncIterable<unknown>): Stream.Stream<unknown, unknown> =>
  Stream.callback<unknown, unknown>(
    (queue) =>
      Effect.sync(() => {
        const pump = async () => {
          for await (const part of parts) Queue.offerUnsafe(queue, part)
        }
        pump().then(
          () => Queue.endUnsafe(queue),
          (error: unknown) => Queue.failCauseUnsafe(queue, Cause.fail(error))
        )
      }),
    { bufferSize: Number.POSITIVE_INFINITY }
  )

/** The client has no timeout of its own. */
const never = 2_147_483_647
const between = Schedule.jittered(Schedule.exponential("250 millis"))

/** Of an answer, in bytes: ten large images, in base64. */
const largestAnswer = 256 * 1024 * 1024

/** The answer, which breaks off when more comes than anybody here could use. */
const bounded = (answer: Response): Response => {
  let size = 0
  const counted = answer.body?.pipeThrough(
    new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
      transform: (bytes, controller) => {
        size += bytes.length
        if (size <= largestAnswer) return controller.enqueue(bytes)
        controller.error(new Error(`more than ${largestAnswer} bytes`))
      }
    })
  )
  return new Response(counted ?? null, answer)
}

/** A fetch whose connections end with the scope. */
const scopedFetch = Effect.map(
  NodeHttpClient.makeDispatcherOptions({ headersTimeout: 0, bodyTimeout: 0 }),
  (dispatcher) => {
    const fetch = async (url: string | URL | Request, init: RequestInit = {}) => {
      // A form of the platform is nothing that Undici's own fetch knows.
      const form = init.body instanceof FormData ? new Response(init.body) : undefined
      const headers = new Headers(init.headers)
      if (form !== undefined) headers.set("content-type", form.headers.get("content-type") ?? "")
      const body = form === undefined ? init.body : new Uint8Array(await form.arrayBuffer())
      const request = { ...init, headers: Object.fromEntries(headers), body, dispatcher } as UndiciRequest
      return bounded((await undiciFetch(url as string | URL, request)) as unknown as Response)
    }
    // By this the package finds out that forms can be sent.
    return Object.assign(fetch, { Response })
  }
)

/** The JSON of the list of models, as far as anybody here cares. */
const Models = Schema.Struct({ data: Schema.Array(Schema.Unknown) })

/** What a refused HTTP request to the API means. */
export const failureOf = ({ body, headers, now, status }: HttpService.HttpRefusal): ConnectorFailure =>
  ofSaid(
    saidIn(body, status, (name) => headers[name]),
    now
  )

/** A request with the credentials of an account. */
export const authorized =
  (account: Account) =>
  (request: HttpClientRequest.HttpClientRequest): HttpClientRequest.HttpClientRequest =>
    HttpClientRequest.bearerToken(request, account.apiKey).pipe(
      HttpClientRequest.setHeaders({
        ...(account.organization === null ? {} : { "openai-organization": account.organization }),
        ...(account.project === null ? {} : { "openai-project": account.project })
      })
    )

/** The API by plain HTTP. */
export const http = (account: Account) =>
  HttpService.make({
    name: "OpenAI",
    timeout: account.timeout,
    maxRetries: account.maxRetries,
    maxAnswerBytes: largestAnswer,
    failureOf
  })

/** Whether the key is good and the API answers: asks for the list of models, which costs nothing. */
export const health = (account: Account, service: HttpService.HttpService): Effect.Effect<void, ConnectorFailure> =>
  Effect.asVoid(service.json(authorized(account)(HttpClientRequest.get(`${account.baseUrl}/models`)), Models))

export const make = Effect.fnUntraced(function* (account: Account) {
  const fetch = yield* scopedFetch
  // Only now: the package takes longer to load than all else, and most processes that know of connectors call no OpenAI.
  const sdk = yield* Effect.promise(() => import("openai"))
  const budget = yield* SharedBudget.make(account.budget)
  const plain = yield* http(account)
  const client = new sdk.OpenAI({
    apiKey: Redacted.value(account.apiKey),
    adminAPIKey: null,
    webhookSecret: null,
    organization: account.organization,
    project: account.project,
    baseURL: account.baseUrl,
    fetch,
    timeout: never,
    maxRetries: 0,
    logLevel: "off"
  })

  const refusalOf = (error: unknown) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => Effect.fail(ofError(sdk, error, DateTime.makeUnsafe(now))))

  const timedOut = Effect.suspend(() =>
    Effect.fail(
      accepted(
        new ConnectorFailure({
          kind: "Timeout",
          message: `OpenAI did not answer within ${Duration.format(account.timeout)}`
        })
      )
    )
  )

  /** One request, until its answer begins or, where it is not streamed, has ended; aborted when the scope closes. */
  const send = <A>(
    run: Run<A>,
    headers: Readonly<Record<string, string>> = {}
  ): Effect.Effect<A, Refusal, Scope.Scope> =>
    Effect.gen(function* () {
      const controller = yield* Effect.acquireRelease(
        Effect.sync(() => new AbortController()),
        (controller) => Effect.sync(() => controller.abort())
      )
      return yield* Effect.tryPromise({
        try: () => run(client, { signal: controller.signal, headers }),
        catch: (error) => error
      }).pipe(Effect.catch(refusalOf), Effect.timeoutOrElse({ duration: account.timeout, orElse: () => timedOut }))
    })

  const decoded = <A, I>(schema: Schema.Codec<A, I>) => {
    const decode = Schema.decodeUnknownEffect(schema)
    return (answer: unknown): Effect.Effect<A, Refusal> =>
      Effect.mapError(decode(answer), (error) =>
        accepted(
          new ConnectorFailure({
            kind: "ProtocolError",
            message: `OpenAI answered something unexpected: ${SchemaIssues.describe(error, "the answer").slice(0, 300)}`
          })
        )
      )
  }

  const again = { times: account.maxRetries, schedule: between } as const

  /** Sends what costs: once, but for what never left this host. */
  const pay = <A>(key: string, run: Run<A>): Effect.Effect<A, Refusal, Scope.Scope> =>
    budget.taking(
      send(run, { "Idempotency-Key": key }).pipe(Effect.retry({ ...again, while: ({ isUnsent }) => isUnsent }))
    )

  return {
    paid: (key, schema, run) => Effect.flatMap(Effect.scoped(pay(key, run)), decoded(schema)),

    streamed: (key, schema, run) =>
      Stream.unwrap(
        Effect.map(
          pay(key, (client, options) => partsOf(run(client, options))),
          (parts) =>
            arriving(parts).pipe(
              Stream.catch((error): Stream.Stream<never, Refusal> => Stream.fromEffect(refusalOf(error))),
              Stream.timeoutOrElse({ duration: account.timeout, orElse: () => Stream.fromEffect(timedOut) }),
              Stream.mapArrayEffect(decoded(Schema.NonEmptyArray(schema))),
              // What has begun was taken on.
              Stream.mapError(({ failure }) => accepted(failure)),
              Stream.tapError(({ failure }) => budget.told(failure))
            )
        )
      ),

    free: (schema, run) =>
      Effect.scoped(send(run)).pipe(
        Effect.flatMap(decoded(schema)),
        Effect.tapError(({ failure }) => budget.told(failure)),
        Effect.retry({ ...again, while: ({ failure }) => failure.kind === "ServiceUnavailable" }),
        Effect.mapError(({ failure }) => failure)
      ),

    told: budget.told,

    health: health(account, plain)
  } satisfies OpenAIAccess as OpenAIAccess
})
