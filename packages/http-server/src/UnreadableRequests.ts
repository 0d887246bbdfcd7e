/**
 * Requests that Node gives up on before anything here sees them: not HTTP, a URL or headers beyond 16 KiB, or never
 * sent to the end. They are answered with a problem like every other, and their connection is closed.
 */
import { STATUS_CODES, type Server } from "node:http"
import { Schema } from "effect"
import { ProblemDetails } from "effect/http"
import * as Problems from "./contract/Problems.ts"

const encode = Schema.encodeUnknownSync(
  Schema.Union([Problems.RequestHeadTooLarge, Problems.RequestTimeout, Problems.InvalidRequest])
)

const problemOf = (code: string | undefined) => {
  switch (code) {
    case "HPE_HEADER_OVERFLOW":
      return new Problems.RequestHeadTooLarge({ detail: "a URL with its headers may have at most 16 KiB" })
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return new Problems.RequestTimeout({ detail: "the request was not sent to its end in time" })
    default: {
      const message = "this is not a valid HTTP request"
      return new Problems.InvalidRequest({ detail: message, errors: [{ path: "", message }] })
    }
  }
}

const answerOf = (code: string | undefined): string => {
  const problem = problemOf(code)
  const body = JSON.stringify(encode(problem))
  return [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`,
    `Content-Type: ${ProblemDetails.contentType}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    "Connection: close",
    "",
    body
  ].join("\r\n")
}

/** Makes `server` answer them. Returns the same server, so that it stands around `createServer()`. */
export const answered = (server: Server): Server =>
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    if (error.code === "ECONNRESET" || !socket.writable) {
      socket.destroy()
      return
    }
    socket.end(answerOf(error.code))
  })
