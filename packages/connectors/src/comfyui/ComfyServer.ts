/** One ComfyUI: its HTTP calls and its socket. Everything it answers is decoded here. */
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import { type Duration, Effect, Option, Redacted, Schema, type Scope, Stream } from "effect"
import { type HttpClient, HttpClientRequest, UrlParams } from "effect/http"
import type { ReadyFile } from "../assets/InputFile.ts"
import * as HttpFailure from "../protocol/HttpFailure.ts"
import * as HttpService from "../protocol/HttpService.ts"
import * as WebSocketService from "../protocol/WebSocketService.ts"
import * as ComfyFailure from "./ComfyFailure.ts"
import * as Messages from "./ComfyMessages.ts"

export interface ServerSettings {
  /** Without a slash at its end. */
  readonly url: string
  /** Sent with every request and with the handshake of sockets. */
  readonly headers: Readonly<Record<string, Redacted.Redacted>>
  readonly timeout: Duration.Duration
  readonly maxRetries: number
}

export type ComfySocket = WebSocketService.WebSocketService<Messages.Message>

export interface ComfyServer {
  /**
   * Sends a prompt. ServiceUnavailable or Timeout do not say whether it was taken: look for it. No `number` is ever
   * sent: with an id that is known already it can kill the thread that runs prompts.
   */
  readonly submit: (prompt: {
    readonly workflow: Messages.Workflow
    readonly id: string
  }) => Effect.Effect<typeof Messages.Accepted.Type, ConnectorFailure>
  readonly queue: Effect.Effect<Messages.Queue, ConnectorFailure>
  /** Asked once, so that a server which is started again is seen to be away. */
  readonly queueRemaining: Effect.Effect<number, ConnectorFailure>
  /** The record of an ended prompt. */
  readonly past: (prompt_id: string) => Effect.Effect<Option.Option<Messages.Past>, ConnectorFailure>
  /** The latest records, by prompt id. */
  readonly latest: (most: number) => Effect.Effect<Readonly<Record<string, Messages.Past>>, ConnectorFailure>
  readonly forget: (prompt_id: string) => Effect.Effect<void, ConnectorFailure>
  /** Stops prompts, waiting or running, and no others. */
  readonly stop: (prompt_ids: ReadonlyArray<string>) => Effect.Effect<void, ConnectorFailure>
  /** Gives an input to the server; gives its name there. */
  readonly upload: (file: ReadyFile) => Effect.Effect<string, ConnectorFailure>
  /** A file that a prompt made, to be read within the scope, or none when it is there no more. */
  readonly view: (file: Messages.ServerFile) => Effect.Effect<
    Option.Option<{
      readonly content: Stream.Stream<Uint8Array, ConnectorFailure>
      readonly content_type: string | undefined
    }>,
    ConnectorFailure,
    Scope.Scope
  >
  /** Reads JSON for capabilities; none when the build does not have the path. */
  readonly info: <A, I>(path: string, schema: Schema.Codec<A, I>) => Effect.Effect<Option.Option<A>, ConnectorFailure>
  /** Opens the socket of a client for as long as the scope. */
  readonly socket: (client_id: string) => Effect.Effect<ComfySocket, never, Scope.Scope>
}

const name = "ComfyUI"
/** On a socket of one client everything is for it. */
export const topic = "all"
/** Lists of models and of node types. */
const longestInfo = 32 * 1024 * 1024
/** Between two parts of a file. */
const partWithin = "1 minute"

/** Not there: a path or file that does not exist, or may not be asked for. */
const isMissing = (failure: ConnectorFailure) => failure.kind === "InvalidPayload"

export const make = Effect.fnUntraced(function* (
  settings: ServerSettings
): Effect.fn.Return<ComfyServer, never, HttpClient.HttpClient> {
  const { headers, maxRetries, timeout, url } = settings
  const options = { name, timeout, maxRetries, wordsOf: ComfyFailure.words }
  const service = yield* HttpService.make(options)
  const onceService = yield* HttpService.make({ ...options, maxRetries: 0 })
  const infoService = yield* HttpService.make({ ...options, maxAnswerBytes: longestInfo })

  const plain = Object.fromEntries(Object.entries(headers).map(([key, value]) => [key, Redacted.value(value)]))
  const get = (path: string) => HttpClientRequest.setHeaders(HttpClientRequest.get(`${url}${path}`), plain)
  const post = (path: string, body?: unknown) => {
    const request = HttpClientRequest.setHeaders(HttpClientRequest.post(`${url}${path}`), plain)
    return body === undefined ? request : HttpClientRequest.bodyJsonUnsafe(request, body)
  }

  const queue = service.json(get("/queue"), Messages.Queue)

  return {
    submit: ({ id, workflow }) =>
      service.json(post("/prompt", { prompt: workflow, client_id: id, prompt_id: id }), Messages.Accepted),

    queue,

    queueRemaining: Effect.map(
      onceService.json(get("/prompt"), Messages.Remaining),
      ({ exec_info }) => exec_info.queue_remaining
    ),

    past: (prompt_id) =>
      Effect.map(service.json(get(`/history/${encodeURIComponent(prompt_id)}`), Messages.History), (history) =>
        Option.fromUndefinedOr(history[prompt_id])
      ),

    latest: (most) => infoService.json(get(`/history?max_items=${most}`), Messages.History),

    forget: (prompt_id) => Effect.asVoid(service.bytes(post("/history", { delete: [prompt_id] }))),

    stop: Effect.fnUntraced(function* (prompt_ids) {
      // Waiting ones are taken out first: then what is not running now never will.
      yield* service.bytes(post("/queue", { delete: prompt_ids }))
      const { queue_running } = yield* queue
      // Builds before September 2025 do not read the id and stop whatever runs.
      const running = queue_running.flatMap(([, id]) => (prompt_ids.includes(id) ? [id] : []))
      yield* Effect.forEach(running, (prompt_id) => service.bytes(post("/interrupt", { prompt_id })), { discard: true })
    }),

    upload: Effect.fnUntraced(function* (file) {
      const form = new FormData()
      form.append("image", file.content, file.name)
      form.append("type", "input")
      const request = HttpClientRequest.bodyFormData(post("/upload/image"), form)
      const { name: given, subfolder = "" } = yield* service.json(request, Messages.Uploaded, file.sentWithin)
      return subfolder === "" ? given : `${subfolder}/${given}`
    }),

    view: ({ filename, subfolder = "", type = "output" }) =>
      service.open(get(`/view?${UrlParams.toString(UrlParams.fromInput({ filename, subfolder, type }))}`)).pipe(
        Effect.map((response) =>
          Option.some({
            content_type: response.headers["content-type"],
            content: response.stream.pipe(
              Stream.mapError((error) => HttpFailure.ofTransport(name, error)),
              Stream.timeoutOrElse({
                duration: partWithin,
                orElse: () =>
                  Stream.fail(
                    new ConnectorFailure({ kind: "Timeout", message: `${name} stopped in the middle of a file` })
                  )
              })
            )
          })
        ),
        Effect.catchIf(isMissing, () => Effect.succeedNone)
      ),

    info: (path, schema) =>
      infoService.json(get(path), schema).pipe(
        Effect.map(Option.some),
        Effect.catchIf(isMissing, () => Effect.succeedNone)
      ),

    socket: (client_id) =>
      WebSocketService.make<Messages.Message>({
        name,
        url: `${url.replace(/^http/, "ws")}/ws?clientId=${encodeURIComponent(client_id)}`,
        headers,
        message: Messages.Event as Schema.Codec<Messages.Message, unknown>,
        topicOf: () => topic,
        binary: Messages.binaryReader(),
        resume: (send) => send(Messages.features),
        // Extensions send what they like, and Python writes NaN into JSON; the history has the truth.
        strangeFrames: "drop",
        connectTimeout: timeout,
        reconnected: { type: "reconnected" }
      })
  }
})
