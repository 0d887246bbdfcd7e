/** What can go wrong between a caller and the server, beyond the problems the server itself answers with. */
import { Schema } from "effect"

/** No answer came: nothing listens there, the connection broke, or the answer took too long. */
export class ServerUnreachable extends Schema.TaggedError<ServerUnreachable>(
  "@muster/http-server/client/ClientErrors/ServerUnreachable"
)("ServerUnreachable", { url: Schema.String, detail: Schema.String, cause: Schema.Defect() }) {
  override get message() {
    return `no Muster server answers at ${this.url}: ${this.detail}`
  }
}

/** Something answered, but not as this version of the contract says: a proxy, another program, another version. */
export class UnexpectedAnswer extends Schema.TaggedError<UnexpectedAnswer>(
  "@muster/http-server/client/ClientErrors/UnexpectedAnswer"
)("UnexpectedAnswer", { url: Schema.String, detail: Schema.String, cause: Schema.Defect() }) {
  override get message() {
    return `what answers at ${this.url} does not speak as a Muster server does: ${this.detail}`
  }
}
