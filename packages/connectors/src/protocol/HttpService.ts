/**
 * A service that is reached by HTTP: what the documents call HTTPConnector. One attempt of a job is here: a request is
 * tried again a few times where nothing can be done twice by it; all else is the retry of the job. Source: document
 * 003.
 */
import { ConnectorFailure, type FailureKind } from "@muster/core/connector/ConnectorFailure"
import * as SchemaIssues from "@muster/core/SchemaIssues"
import { Clock, DateTime, Duration, Effect, Schedule, Schema, type Scope, Stream } from "effect"
import { HttpClient, type HttpClientError, type HttpClientRequest, type HttpClientResponse } from "effect/http"
import * as HttpFailure from "./HttpFailure.ts"

export interface HttpServiceSettings {
  /** How the service is called in messages. */
  readonly name: string
  /** How long one request may take, until its answer is read whole. */
  readonly timeout: Duration.Duration
  /** Tries after the first one, within one attempt of a job. */
  readonly maxRetries: number
  /** Bytes of an answer that is read into memory. */
  readonly maxAnswerBytes?: number | undefined
  /** What a longer answer is; ProtocolError by default. Not to be tried again where it was work to make it. */
  readonly tooLong?: FailureKind | undefined
  /** What the service says about an error, from the body of its answer. */
  readonly wordsOf?: ((body: unknown) => string | undefined) | undefined
  /** What a refusal means where its status alone does not say it; undefined leaves it to the status. */
  readonly failureOf?: ((refusal: HttpRefusal) => ConnectorFailure | undefined) | undefined
}

/** An answer that is no success. */
export interface HttpRefusal {
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  /** JSON, or a text that is none. */
  readonly body: unknown
  readonly now: DateTime.Utc
}

export interface HttpService {
  /** Sends a request and decodes its JSON answer. What has to be sent first may take `longer` than other requests. */
  readonly json: <A, I>(
    request: HttpClientRequest.HttpClientRequest,
    schema: Schema.Codec<A, I>,
    longer?: Duration.Duration
  ) => Effect.Effect<A, ConnectorFailure>
  /** Sends a request and gives its answer, whose status was good, to be read within the scope, which ends it. */
  readonly open: (
    request: HttpClientRequest.HttpClientRequest
  ) => Effect.Effect<HttpClientResponse.HttpClientResponse, ConnectorFailure, Scope.Scope>
  /** Sends a request and gives the content of its answer, at most `maxAnswerBytes` of it. */
  readonly bytes: (
    request: HttpClientRequest.HttpClientRequest
  ) => Effect.Effect<{ readonly content: Uint8Array; readonly content_type: string | undefined }, ConnectorFailure>
}

const defaultMaxAnswer = 64 * 1024 * 1024
const errorBodyBytes = 64 * 1024
/** A wait that is worth making inside an attempt; a longer one is left to the queue. */
const shortWait = Duration.seconds(2)

/** Methods of which HTTP says that to repeat one does what one of it does. */
const repeatable: ReadonlySet<string> = new Set(["GET", "HEAD", "PUT", "DELETE"])

const between = Schedule.jittered(Schedule.exponential("250 millis"))

/** A failure, and whether the request may be sent again. */
interface Refusal {
  readonly failure: ConnectorFailure
  readonly mayRepeat: boolean
}

/** Services spell their errors in one of these ways. */
const usualWords = (body: unknown): string | undefined => {
  if (typeof body === "string") return body
  if (typeof body !== "object" || body === null) return undefined
  const { detail, error, message, title } = body as Readonly<Record<string, unknown>>
  for (const said of [error, message, detail, title]) {
    if (typeof said === "string") return said
    if (typeof said === "object" && said !== null) {
      const inner: string | undefined = usualWords(said)
      if (inner !== undefined) return inner
    }
  }
  return undefined
}

const asJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    // A page of a proxy says nothing to anybody.
    return /^\s*</.test(text) ? undefined : text
  }
}

/** The first bytes of an answer, and whether there were more. */
const readBytes = (response: HttpClientResponse.HttpClientResponse, most: number) =>
  Effect.suspend(() => {
    const parts: Array<Uint8Array> = []
    let size = 0
    const enough = Stream.runForEachWhile(response.stream, (bytes) =>
      Effect.sync(() => {
        parts.push(bytes)
        size += bytes.length
        return size <= most
      })
    )
    return Effect.map(enough, () => ({ bytes: Buffer.concat(parts).subarray(0, most), isWhole: size <= most }))
  })

export const make = Effect.fnUntraced(function* (settings: HttpServiceSettings) {
  const client = yield* HttpClient.HttpClient
  // Whoever reads an answer to its end needs no scope for it.
  const scopedClient = HttpClient.withScope(client)
  const {
    failureOf,
    maxAnswerBytes = defaultMaxAnswer,
    maxRetries,
    name,
    timeout,
    tooLong = "ProtocolError",
    wordsOf = usualWords
  } = settings

  const protocolError = (message: string) =>
    new ConnectorFailure({ kind: "ProtocolError", message: `${name} ${message}` })

  const refused = Effect.fnUntraced(function* (
    response: HttpClientResponse.HttpClientResponse,
    isSafe: boolean
  ): Effect.fn.Return<never, Refusal> {
    const text = yield* readBytes(response, errorBodyBytes).pipe(
      Effect.map(({ bytes }) => bytes.toString()),
      Effect.orElseSucceed(() => "")
    )
    const body = asJson(text)
    const now = DateTime.makeUnsafe(yield* Clock.currentTimeMillis)
    const after = HttpFailure.retryAfter(response.headers["retry-after"], now)
    const failure =
      failureOf?.({ status: response.status, headers: response.headers, body, now }) ??
      HttpFailure.ofStatus(name, response.status, wordsOf(body) ?? "", after)
    const soon = after === undefined || Duration.isLessThanOrEqualTo(after, shortWait)
    const transient = failure.kind === "ServiceUnavailable" || failure.kind === "Timeout"
    if (soon && transient && after !== undefined) yield* Effect.sleep(after)
    return yield* Effect.fail({ failure, mayRepeat: isSafe && transient && soon })
  })

  /** One request to its last byte, again where that does no harm. */
  const exchange = <A, R>(
    through: HttpClient.HttpClient.With<HttpClientError.HttpClientError, R>,
    request: HttpClientRequest.HttpClientRequest,
    read: (response: HttpClientResponse.HttpClientResponse) => Effect.Effect<A, Refusal>,
    within = timeout
  ) => {
    const isSafe = repeatable.has(request.method)
    return through.execute(request).pipe(
      Effect.mapError((error): Refusal => ({
        failure: HttpFailure.ofTransport(name, error),
        mayRepeat: isSafe || HttpFailure.neverSent(error)
      })),
      Effect.flatMap((response) =>
        response.status >= 200 && response.status < 300 ? read(response) : refused(response, isSafe)
      ),
      Effect.timeoutOrElse({
        duration: within,
        orElse: () =>
          Effect.fail<Refusal>({
            failure: new ConnectorFailure({
              kind: "Timeout",
              message: `${name} did not answer within ${Duration.format(within)}`
            }),
            mayRepeat: isSafe
          })
      }),
      Effect.retry({ times: maxRetries, while: ({ mayRepeat }) => mayRepeat, schedule: between }),
      Effect.mapError(({ failure }) => failure)
    )
  }

  const content = (request: HttpClientRequest.HttpClientRequest, within = timeout) =>
    exchange(
      client,
      request,
      (response) =>
        readBytes(response, maxAnswerBytes).pipe(
          // What was asked for may have been done, as when there is no answer at all.
          Effect.mapError((): Refusal => ({
            failure: new ConnectorFailure({ kind: "ServiceUnavailable", message: `${name} broke its answer off` }),
            mayRepeat: repeatable.has(request.method)
          })),
          Effect.flatMap(({ bytes, isWhole }) =>
            isWhole
              ? Effect.succeed({ content: bytes as Uint8Array, content_type: response.headers["content-type"] })
              : Effect.fail<Refusal>({
                  failure: new ConnectorFailure({
                    kind: tooLong,
                    message: `${name} answered more than ${maxAnswerBytes} bytes`
                  }),
                  mayRepeat: false
                })
          )
        ),
      within
    )

  return {
    bytes: (request) => content(request),

    open: (request) => exchange(scopedClient, request, Effect.succeed),

    json: Effect.fnUntraced(function* <A, I>(
      request: HttpClientRequest.HttpClientRequest,
      schema: Schema.Codec<A, I>,
      longer = Duration.zero
    ) {
      const { content: bytes, content_type } = yield* content(request, Duration.sum(timeout, longer))
      const text = Buffer.from(bytes).toString()
      const parsed = yield* Effect.try({
        try: (): unknown => JSON.parse(text),
        catch: () => protocolError(`answered ${content_type ?? "something"} that is not JSON`)
      })
      return yield* Schema.decodeUnknownEffect(schema)(parsed).pipe(
        Effect.mapError((error) =>
          protocolError(`answered something unexpected: ${SchemaIssues.describe(error, "the answer").slice(0, 300)}`)
        )
      )
    })
  } satisfies HttpService as HttpService
})
