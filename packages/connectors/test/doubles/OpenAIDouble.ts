/**
 * OpenAI as its public API description has it: chats, responses in the background, and images, also streamed. Written from
 * that description, not from recorded traffic, for what the third-party double does not do: usage, partial images,
 * cancelling, forms that are looked at, and refusals at will. The words of a prompt decide what becomes of it: `endless`
 * goes on until it is stopped, `fail:<code>` fails with that code once it was taken on.
 */
import { Effect } from "effect"
import type { IncomingMessage, ServerResponse } from "node:http"
import { png } from "../assets/AssetStoreSuite.ts"
import { hurtableServer, json } from "./HurtableServer.ts"

export interface Refusal {
  readonly status: number
  readonly error?: { readonly code?: string; readonly type?: string; readonly message?: string }
  readonly headers?: Readonly<Record<string, string>>
}

export interface Asked {
  readonly method: string
  readonly path: string
  readonly headers: IncomingMessage["headers"]
  /** JSON, or the text of a form. */
  readonly body: any
}

interface Response {
  readonly id: string
  readonly request: any
  asked: number
  status: string
}

const usage = {
  input_tokens: 11,
  output_tokens: 22,
  total_tokens: 33,
  input_tokens_details: { cached_tokens: 4 },
  output_tokens_details: { reasoning_tokens: 5 }
}
const chatUsage = {
  prompt_tokens: 9,
  completion_tokens: 3,
  total_tokens: 12,
  prompt_tokens_details: { cached_tokens: 2 },
  completion_tokens_details: { reasoning_tokens: 1 }
}
const words = ["one ", "two ", "three"]
const image = png.toString("base64")

export const openAIDouble = (key: string) =>
  Effect.gen(function* () {
    const asked: Array<Asked> = []
    const responses = new Map<string, Response>()
    const open = new Set<ServerResponse>()
    const refusals: Array<(asked: Asked) => Refusal | undefined> = []
    /** Calls that were taken on, which cost. */
    const paid: Array<Asked> = []

    const refuse = (response: ServerResponse, { error = {}, headers = {}, status }: Refusal) => {
      for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
      json(response, status, { error: { message: "refused", type: "invalid_request_error", ...error } })
    }
    const unsupported = (response: ServerResponse, code: string) => refuse(response, { status: 400, error: { code } })
    const event = (response: ServerResponse, data: unknown) => response.write(`data: ${JSON.stringify(data)}\n\n`)
    const stays = (response: ServerResponse) => {
      open.add(response)
      response.on("close", () => open.delete(response))
    }

    const chat = (call: Asked, response: ServerResponse) => {
      const { messages, model, stream, stream_options } = call.body
      const prompt = JSON.stringify(messages)
      const base = { id: "chatcmpl-1", object: "chat.completion.chunk", created: 1, model }
      if (stream !== true || prompt.includes("unstreamed")) {
        if (prompt.includes("endless")) return stays(response)
        const message = { role: "assistant", content: words.join("") }
        const choices = [{ index: 0, message, finish_reason: "stop" }]
        return json(response, 200, { ...base, object: "chat.completion", choices, usage: chatUsage })
      }
      response.writeHead(200, { "content-type": "text/event-stream" })
      const say = (delta: unknown, finish_reason: string | null = null) =>
        event(response, { ...base, choices: [{ index: 0, delta, finish_reason }] })
      say({ role: "assistant", content: "" })
      if (prompt.includes("endless")) {
        stays(response)
        const timer = setInterval(() => say({ content: "word " }), 5)
        return response.on("close", () => clearInterval(timer))
      }
      if (prompt.includes("broken")) {
        say({ content: "half a" })
        return response.end()
      }
      if (prompt.includes("silent")) {
        say({ content: "then nothing" })
        return stays(response)
      }
      if (prompt.includes("mid-error")) {
        event(response, { error: { message: "too much", type: "requests", code: "rate_limit_exceeded" } })
        return response.end()
      }
      if (prompt.includes("refuse")) {
        say({ refusal: "I will not" })
        say({}, "stop")
      } else if (prompt.includes("filtered")) {
        say({ content: "some" })
        say({}, "content_filter")
      } else if (prompt.includes("tool")) {
        say({
          tool_calls: [{ index: 0, id: "call_1", type: "function", function: { name: "look", arguments: '{"a"' } }]
        })
        say({ tool_calls: [{ index: 0, function: { arguments: ":1}" } }] })
        say({}, "tool_calls")
      } else {
        for (const content of words) say({ content })
        say({}, "stop")
      }
      if (prompt.includes("cut at the end")) return setTimeout(() => response.destroy(), 50)
      if (prompt.includes("quiet at the end")) return stays(response)
      if (stream_options?.include_usage) event(response, { ...base, choices: [], usage: chatUsage })
      response.end("data: [DONE]\n\n")
    }

    const shown = ({ id, request, status }: Response) => {
      const tool = (request.tools ?? []).some(({ type }: { type: string }) => type === "image_generation")
      const message = { type: "message", role: "assistant", content: [{ type: "output_text", text: "a fine answer" }] }
      const drawing = { id: "ig_1", type: "image_generation_call", status: "completed", result: image }
      const code = /fail:(\w+)/.exec(JSON.stringify(request.input))?.[1]
      return {
        id,
        object: "response",
        model: request.model,
        status,
        metadata: request.metadata ?? {},
        output: status !== "completed" ? [] : tool ? [{ ...drawing, revised_prompt: "as it was drawn" }] : [message],
        error: status === "failed" ? { code, message: "it went wrong" } : null,
        usage: status === "completed" || status === "failed" ? usage : null
      }
    }

    const step = (response: Response) => {
      response.asked++
      if (response.status !== "queued" && response.status !== "in_progress") return
      const input = JSON.stringify(response.request.input)
      response.status = "in_progress"
      if (input.includes("endless") || response.asked < 2) return
      response.status = input.includes("fail:") ? "failed" : "completed"
    }

    const respond = (call: Asked, response: ServerResponse) => {
      const [tool] = call.body.tools ?? []
      if (tool?.model?.startsWith("dall-e")) return unsupported(response, "invalid_value")
      const made: Response = {
        id: `resp_${responses.size + 1}`,
        request: call.body,
        asked: 0,
        status: call.body.background === true ? "queued" : "completed"
      }
      paid.push(call)
      if (call.body.background !== true && JSON.stringify(call.body.input).includes("endless")) return stays(response)
      responses.set(made.id, made)
      json(response, 200, shown(made))
    }

    const draw = (call: Asked, response: ServerResponse) => {
      const { model, n = 1, partial_images = 0, prompt, stream } = call.body
      const isDallE = String(model).startsWith("dall-e")
      if (isDallE && stream === true) return unsupported(response, "unknown_parameter")
      if (!isDallE && call.body.response_format !== undefined) return unsupported(response, "unknown_parameter")
      paid.push(call)
      if (prompt.includes("endless")) return stays(response)
      if (stream !== true) {
        const data = Array.from({ length: n }, () => ({ b64_json: image, revised_prompt: "as it was drawn" }))
        return json(response, 200, { created: 1, data, ...(isDallE ? {} : { usage }) })
      }
      response.writeHead(200, { "content-type": "text/event-stream" })
      for (let partial_image_index = 0; partial_image_index < partial_images; partial_image_index++) {
        event(response, { type: "image_generation.partial_image", b64_json: image, partial_image_index })
      }
      event(response, { type: "image_generation.completed", b64_json: image, usage })
      if (prompt.includes("cut at the end")) return setTimeout(() => response.destroy(), 50)
      response.end()
    }

    const edit = (call: Asked, response: ServerResponse) => {
      const form = String(call.body)
      if (!/filename="image\.(png|jpg|webp)"/.test(form)) return unsupported(response, "missing_required_parameter")
      paid.push(call)
      if (form.includes("endless")) return stays(response)
      json(response, 200, { created: 1, data: [{ b64_json: image }], usage })
    }

    const server = yield* hurtableServer((request, response, text) => {
      const isJson = request.headers["content-type"]?.includes("json") === true
      const call: Asked = {
        method: request.method ?? "",
        path: request.url ?? "",
        headers: request.headers,
        body: isJson && text !== "" ? JSON.parse(text) : text
      }
      if (request.headers.authorization !== `Bearer ${key}`) {
        return void refuse(response, { status: 401, error: { code: "invalid_api_key" } })
      }
      asked.push(call)
      for (const rule of refusals) {
        const refusal = rule(call)
        if (refusal !== undefined) return void refuse(response, refusal)
      }
      const [, id = "", cancel] = /^\/responses\/(\w+)(\/cancel)?$/.exec(call.path) ?? []
      const known = responses.get(id)
      if (known !== undefined) {
        if (cancel === undefined) step(known)
        else known.status = "cancelled"
        return void json(response, 200, shown(known))
      }
      const route = `${call.method} ${call.path}`
      if (route === "GET /models") return void json(response, 200, { object: "list", data: [{ id: "gpt-4.1" }] })
      if (route === "POST /chat/completions") {
        paid.push(call)
        return void chat(call, response)
      }
      if (route === "POST /responses") return void respond(call, response)
      if (route === "POST /images/generations") return void draw(call, response)
      if (route === "POST /images/edits") return void edit(call, response)
      json(response, 404, { error: { message: "no such route", type: "invalid_request_error" } })
    })

    return {
      ...server,
      asked,
      paid,
      responses,
      running: () =>
        open.size + [...responses.values()].filter(({ status }) => ["queued", "in_progress"].includes(status)).length,
      /** Refuses what a rule refuses, from now on. */
      refusing: (rule: (asked: Asked) => Refusal | undefined) => Effect.sync(() => void refusals.push(rule))
    }
  })
