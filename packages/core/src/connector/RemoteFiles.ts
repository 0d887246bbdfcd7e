/**
 * The port that fetches what a URL in a job, or in the answer of a service, names. Whoever can name a URL must not reach
 * what only the worker can reach: addresses that are not public are refused unless the operator allowed them.
 */
import { Context, type Effect, type Stream } from "effect"
import type { ConnectorFailure } from "./ConnectorFailure.ts"

export interface RemoteFile {
  readonly content_type: string | undefined
  /** In bytes, as the other side says; undefined when it does not. */
  readonly size: number | undefined
  /** Ends in a failure when there is more than was allowed. */
  readonly content: Stream.Stream<Uint8Array, ConnectorFailure>
}

export class RemoteFiles extends Context.Service<
  RemoteFiles,
  {
    /**
     * Opens a file by its http or https URL, or a `data:` URL, of at most `maxBytes`. Follows a few redirects, each of
     * them checked. A URL that cannot be used is an InvalidPayload; a host that does not answer is not.
     */
    readonly open: (url: string, options: { readonly maxBytes: number }) => Effect.Effect<RemoteFile, ConnectorFailure>
  }
>()("@muster/core/connector/RemoteFiles") {}
