/** Files that jobs and services name by URL, fetched without reaching what must not be reached. */
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import { type RemoteFile, RemoteFiles } from "@muster/core/connector/RemoteFiles"
import { Clock, Duration, Effect, Fiber, Layer, Stream } from "effect"
import { type HttpClient, HttpClientRequest, type HttpClientResponse } from "effect/http"
import * as HttpFailure from "../protocol/HttpFailure.ts"
import * as AddressPolicy from "./AddressPolicy.ts"
import { AddressRefused, make as makeGuarded } from "./GuardedHttpClient.ts"

const mostRedirects = 5
const answerWithin = Duration.seconds(30)
/** Between two parts of a file. */
const partWithin = Duration.minutes(1)
/** From the first part to the last: a host that gives a byte a minute holds up whoever waits for it. */
const wholeWithin = Duration.hours(1)

const invalid = (message: string) => new ConnectorFailure({ kind: "InvalidPayload", message })

/** A URL without what may be secret in it. */
const shown = (url: URL): string => `${url.protocol}//${url.host}${url.pathname.slice(0, 100)}`

const isRefusal = (error: unknown, depth = 0): boolean =>
  depth < 5 &&
  typeof error === "object" &&
  error !== null &&
  (error instanceof AddressRefused ||
    isRefusal((error as { cause?: unknown }).cause, depth + 1) ||
    isRefusal((error as { reason?: unknown }).reason, depth + 1))

/** Fails once more than `maxBytes` have come, or it takes too long. */
const bounded = (content: Stream.Stream<Uint8Array, ConnectorFailure>, maxBytes: number, name: string) =>
  Stream.unwrap(
    Effect.map(Clock.currentTimeMillis, (begun) => {
      let size = 0
      return Stream.mapEffect(content, (bytes) => {
        size += bytes.length
        if (size > maxBytes) return Effect.fail(invalid(`${name} is larger than ${maxBytes} bytes`))
        return Effect.flatMap(Clock.currentTimeMillis, (now) =>
          now - begun <= Duration.toMillis(wholeWithin)
            ? Effect.succeed(bytes)
            : Effect.fail(new ConnectorFailure({ kind: "Timeout", message: `${name} is too slow` }))
        )
      })
    })
  )

/** In two looks, each of one class of characters: a pattern that could match in several ways takes hours on a long text. */
const isBase64 = (text: string): boolean => {
  const end = text.indexOf("=")
  return !/[^A-Za-z0-9+/=_\s-]/.test(text) && (end === -1 || !/[^=\s]/.test(text.slice(end)))
}

/** `data:image/png;base64,…` */
const inline = (url: string, maxBytes: number): Effect.Effect<RemoteFile, ConnectorFailure> => {
  const [, type = "", base64, text = ""] = /^data:([^,;]*)(?:;[^,;]*)*?(;base64)?,(.*)$/s.exec(url) ?? []
  if (text.length > maxBytes * 1.4 + 4) return Effect.fail(invalid(`the data URL is larger than ${maxBytes} bytes`))
  if (base64 !== undefined && !isBase64(text)) return Effect.fail(invalid("the data URL is not base64"))
  return Effect.try({
    try: () =>
      Buffer.from(base64 === undefined ? decodeURIComponent(text) : text, base64 === undefined ? "utf8" : "base64"),
    catch: () => invalid("the data URL is not encoded well")
  }).pipe(
    Effect.flatMap((bytes) =>
      bytes.length > maxBytes
        ? Effect.fail(invalid(`the data URL is larger than ${maxBytes} bytes`))
        : Effect.succeed({ content_type: type || undefined, size: bytes.length, content: Stream.make(bytes) })
    )
  )
}

/** Lets go of an answer that is not read: its connection would stay open for as long as the other side likes. */
const leave = (response: HttpClientResponse.HttpClientResponse) =>
  Effect.flatMap(
    Effect.forkChild(Effect.ignore(Stream.runDrain(response.stream)), { startImmediately: true }),
    Fiber.interrupt
  )

const fetchFile = Effect.fnUntraced(function* (
  client: HttpClient.HttpClient,
  text: string,
  maxBytes: number
): Effect.fn.Return<RemoteFile, ConnectorFailure> {
  let url = new URL(text)
  for (let redirects = 0; redirects <= mostRedirects; redirects++) {
    const name = shown(url)
    const response = yield* client.execute(HttpClientRequest.get(url.href)).pipe(
      Effect.mapError((error) =>
        isRefusal(error)
          ? invalid(
              `${url.host} is not a public address; files are fetched from others only where MUSTER_FETCH_ALLOW_PRIVATE of the worker allows it`
            )
          : HttpFailure.ofTransport(name, error)
      ),
      Effect.timeoutOrElse({
        duration: answerWithin,
        orElse: () => Effect.fail(new ConnectorFailure({ kind: "Timeout", message: `${name} does not answer` }))
      })
    )
    const { location } = response.headers
    if (response.status !== 200) yield* leave(response)
    if (response.status >= 300 && response.status < 400 && location !== undefined) {
      if (!URL.canParse(location, url.href)) return yield* invalid(`${name} redirects to what is no URL`)
      url = new URL(location, url.href)
      if (!/^https?:$/.test(url.protocol)) return yield* invalid(`${name} redirects to ${url.protocol}`)
      continue
    }
    if (response.status !== 200) return yield* HttpFailure.ofStatus(name, response.status, "")
    const length = response.headers["content-length"]
    const size = length !== undefined && /^\d{1,15}$/.test(length) ? Number(length) : undefined
    if (size !== undefined && size > maxBytes) {
      yield* leave(response)
      return yield* invalid(`${name} is larger than ${maxBytes} bytes`)
    }
    const parts = response.stream.pipe(
      Stream.mapError((error) => HttpFailure.ofTransport(name, error)),
      Stream.timeoutOrElse({
        duration: partWithin,
        orElse: () => Stream.fail(new ConnectorFailure({ kind: "Timeout", message: `${name} stopped in the middle` }))
      })
    )
    return { content_type: response.headers["content-type"], size, content: bounded(parts, maxBytes, name) }
  }
  return yield* invalid(`${shown(url)} redirects too often`)
})

export const layer = (options: { readonly alsoAllowed: AddressPolicy.AlsoAllowed }): Layer.Layer<RemoteFiles> =>
  Layer.effect(
    RemoteFiles,
    Effect.map(makeGuarded({ policy: AddressPolicy.make(options.alsoAllowed) }), (client) =>
      RemoteFiles.of({
        open: (url, { maxBytes }) => {
          if (url.startsWith("data:")) return inline(url, maxBytes)
          if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
            return Effect.fail(invalid(`${JSON.stringify(url.slice(0, 100))} is not an http, https or data URL`))
          }
          return fetchFile(client, url, maxBytes)
        }
      })
    )
  )
