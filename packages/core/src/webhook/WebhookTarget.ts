/**
 * Where webhooks are delivered: a port, because core does no I/O. One that sends to addresses it should not reach would
 * let whoever may register a webhook talk to whatever the server can talk to.
 */
import { Context, type Duration, type Effect, Schema } from "effect"

/** Nothing is sent there: the address is not one that webhooks may reach. */
export class TargetRefused extends Schema.TaggedError<TargetRefused>(
  "@muster/core/webhook/WebhookTarget/TargetRefused"
)("TargetRefused", { detail: Schema.String }) {
  override get message() {
    return this.detail
  }
}

/** No answer came: in words for whoever looks at the deliveries. */
export class TargetSilent extends Schema.TaggedError<TargetSilent>("@muster/core/webhook/WebhookTarget/TargetSilent")(
  "TargetSilent",
  { detail: Schema.String, cause: Schema.Defect() }
) {
  override get message() {
    return this.detail
  }
}

export interface TargetRequest {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
}

export interface TargetAnswer {
  readonly status: number
  /** What `Retry-After` asks for. */
  readonly retryAfter: Duration.Duration | null
}

export class WebhookTarget extends Context.Service<
  WebhookTarget,
  {
    /** Refuses a URL none of which may be sent to. A name that cannot be resolved now is let pass. */
    readonly check: (url: string) => Effect.Effect<void, TargetRefused>

    /**
     * Posts, and answers with the status; redirects are not followed, and of the body no more is read than a few KB.
     * The address it connects to is one that it has checked. May hang: the caller bounds it, by interrupting.
     */
    readonly post: (request: TargetRequest) => Effect.Effect<TargetAnswer, TargetRefused | TargetSilent>
  }
>()("@muster/core/webhook/WebhookTarget") {}
